/**
 * `tales`: small stories for small models, as many as one likes. Written so that learning shows in steps: letters,
 * words, sentences, speech, and at last plots, whose parts agree: who is a "she" stays one, what is lost is what is
 * found, a cat says "Meow", rain calls for boots, and three apples less one are two.
 */

import { ConfigError } from "../core/errors.js";
import { Generator, randomInteger } from "../core/random.js";
import { either, measure, pick, type Rule, weighted, write } from "./grammar.js";

interface Person {
  readonly name: string;
  readonly he: string;
  readonly him: string;
  readonly his: string;
  /** "He" or "She", at the start of a sentence. */
  readonly He: string;
}

const girl = (name: string): Person => ({ name, he: "she", him: "her", his: "her", He: "She" });
const boy = (name: string): Person => ({ name, he: "he", him: "him", his: "his", He: "He" });
const people = [...["Anna", "Emma", "Lily", "Mia", "Nora"].map(girl), ...["Ben", "Jack", "Leo", "Sam", "Tom"].map(boy)];
const others = (name: string) => people.filter((person) => person.name !== name);
const without = <T>(items: readonly T[], item: T) => items.filter((other) => other !== item);

const opening = either(
  "One day",
  "One morning",
  "Last week",
  "On Monday",
  "On Sunday",
  "After lunch",
  "In May",
  "Once",
);
const ending = either(
  "They played until the sun went down.",
  "They were friends for ever after.",
  "They laughed all the way home.",
  "What a good day it was!",
);

const colours = ["red", "blue", "green", "yellow", "white", "golden", "tiny", "new"];
const toys = ["ball", "boat", "book", "doll", "drum", "hat", "kite", "ring", "shell", "train"];

/** Where a thing gets lost, and where in there it can hide. */
const places = [
  { to: "to the garden", spots: ["behind the roses", "under the bench", "in the tall grass"] },
  { to: "to the beach", spots: ["in the sand", "behind the rocks", "under a towel"] },
  { to: "to the park", spots: ["under the old oak", "behind the swings", "by the pond"] },
  { to: "into the woods", spots: ["in a hollow tree", "under the leaves", "behind a stone"] },
  { to: "to the farm", spots: ["in the hay", "behind the barn", "under the cart"] },
];

/** A thing is lost, looked for where it is not, and found with the help of a friend. */
const lost = ({ name, he, his, He }: Person): Rule =>
  pick(places, ({ to, spots }) => [
    `went ${to} with ${his} `,
    pick(colours, (colour) =>
      pick(toys, (toy) => [
        `${colour} ${toy}. `,
        either(
          [`${He} `, either("ran and jumped", "climbed and danced", "slept in the sun"), ", and then"],
          "The wind blew hard, and suddenly",
          "A big dog came running, and",
        ),
        ` the ${toy} was gone. `,
        either(
          [`"Where is my ${toy}?" ${he} `, either("asked", "cried")],
          [either(`"Oh no, my ${toy}!"`, `"I want my ${colour} ${toy}!"`), " said ", name],
        ),
        ". ",
        pick(spots, (wrong) => [
          `${He} looked ${wrong}, but it was not there. `,
          pick(others(name), (friend) => [
            `${friend.name} came to help and looked `,
            pick(without(spots, wrong), (right) => `${right}. There was the ${colour} ${toy}! `),
            `"Thank you, ${friend.name}," said ${name}. `,
          ]),
        ]),
        ending,
      ]),
    ),
  ]);

const animals = [
  { name: "bird", part: "wing", does: "fly", food: "seeds", thanks: "sang a song" },
  { name: "rabbit", part: "foot", does: "hop", food: "a carrot", thanks: "danced in the grass" },
  { name: "duck", part: "wing", does: "swim", food: "some corn", thanks: "laid an egg" },
  { name: "fox", part: "paw", does: "run", food: "soup", thanks: "waved its tail" },
  { name: "squirrel", part: "leg", does: "climb", food: "nuts", thanks: "brought a nut" },
];

/** An animal that cannot do what its kind does is cared for until it can. */
const cared = ({ he, him, He }: Person): Rule => [
  "found a ",
  pick(["little", "young", "wild", "sad", "grey"], (kind) =>
    pick(animals, ({ name, part, does, food, thanks }) => [
      `${kind} ${name} `,
      either("near the road", "in the snow", "under a tree", "by the river"),
      `. Its ${part} hurt and it could not ${does}. "`,
      either("Do not be afraid", "I will help you", "You poor thing"),
      `," ${he} said. ${He} took it home and gave it ${food}. After `,
      either("two", "three", "four", "five", "six", "ten"),
      either(" days", " weeks"),
      ` the ${name} could ${does} again. Every `,
      either("spring", "summer", "autumn", "winter", "morning", "evening"),
      ` it came to see ${him} and ${thanks}.`,
    ]),
  ),
];

const numbers = ["one", "two", "three", "four", "five", "six"];
const count = (n: number, fruit: string) => `${numbers[n - 1]} ${fruit}${n === 1 ? "" : "s"}`;

/** Some of what one has is given away; what is left is counted. */
const shared = ({ name, he, He }: Person): Rule =>
  pick([2, 3, 4, 5, 6], (all) =>
    pick(["apple", "plum", "pear", "nut", "cake", "egg"], (fruit) => [
      `had ${count(all, fruit)}. `,
      pick(others(name), (friend) => [
        `${friend.name} had none and was `,
        either("hungry", "sad", "very quiet"),
        `. "You can have some of mine," said ${name}. ${He} gave ${friend.him} `,
        pick(
          Array.from({ length: all - 1 }, (_, i) => i + 1),
          (given) => `${count(given, fruit)}, so ${he} had ${count(all - given, fruit)} left. `,
        ),
      ]),
      ending,
    ]),
  );

const voices = [
  { name: "cat", says: "Meow" },
  { name: "dog", says: "Woof" },
  { name: "owl", says: "Hoot" },
  { name: "mouse", says: "Squeak" },
  { name: "goat", says: "Baa" },
  { name: "duck", says: "Quack" },
];

/** A noise in the night has a harmless cause, which its sound tells. */
const heard = ({ he, his, He }: Person): Rule => [
  "heard a ",
  either("loud", "strange", "soft", "funny", "long"),
  " noise ",
  pick(["in the kitchen", "under the bed", "at the window", "behind the door", "on the roof"], (where) => [
    `${where}. ${He} was afraid, but ${he} took ${his} `,
    either("lamp", "candle", "stick", "bear"),
    ' and went to look. "Who is there?" ',
    either(`asked ${his} mother`, `asked ${his} father`, `${he} asked`, `${he} whispered`),
    ". ",
    pick(voices, ({ name, says }) => `"${says}!" It was only the ${name} ${where}. ${He} `),
    either(
      "laughed and went back to sleep.",
      "gave it some milk.",
      "took it to bed.",
      "told it a story.",
      "let it stay.",
    ),
  ]),
];

const weathers = [
  {
    sky: ["raining", "pouring"],
    wear: ["boots", "raincoat"],
    play: ["jumped in the puddles", "sailed paper boats", "caught frogs"],
    parts: ["socks", "sleeves", "shoes"],
    became: "were wet",
    cure: ["dried them by the fire", "put on dry ones"],
  },
  {
    sky: ["snowing", "freezing"],
    wear: ["scarf", "mittens", "cap"],
    play: ["built a snowman", "went down the hill on a sled", "threw snowballs"],
    parts: ["feet", "hands", "ears"],
    became: "were cold",
    cure: ["drank hot tea", "sat by the stove", "ate warm soup"],
  },
  {
    sky: ["hot", "sunny"],
    wear: ["sun hat", "sandals"],
    play: ["swam in the lake", "made a castle of sand", "fished from the bridge"],
    parts: ["arms", "cheeks", "ears"],
    became: "were red",
    cure: ["sat in the shade", "ate some ice", "had a cold bath"],
  },
];

/** The weather decides what to wear, what to play, and what comes of it. */
const weather: Rule = [
  "It was ",
  pick(weathers, ({ sky, wear, play, parts, became, cure }) => [
    either(...sky),
    ". ",
    pick(people, ({ name, he, his, He }) => [
      `"May I go out?" asked ${name}. "Yes, but put on your `,
      pick(wear, (clothes) =>
        pick(["mother", "father", "aunt", "uncle", "grandma", "grandpa"], (elder) => [
          `${clothes}," said ${his} ${elder}. So ${name} put on ${his} ${clothes} and `,
          pick(play, (played) => [
            `${played} `,
            either("until noon", "for an hour", "all afternoon", "with the others"),
            `. When ${he} came home ${his} `,
            either(...parts),
            ` ${became}, so ${he} `,
            either(...cure),
            `. "I ${played}!" ${he} told ${his} ${elder}. ${He} was `,
          ]),
        ]),
      ),
    ]),
  ]),
  either("happy", "tired", "hungry", "proud"),
  ".",
];

/** Stories that open with a time and the person they are about. */
const aboutSomeone: Rule = [
  opening,
  " ",
  pick(people, (hero) => [`${hero.name} `, either(lost(hero), cared(hero), shared(hero), heard(hero))]),
];

/**
 * The grammar of a story. A story is one paragraph and its line end, which stands nowhere else: a text of stories is
 * divided in one way only.
 */
export const story: Rule = [weighted([4, aboutSomeone], [1, weather]), "\n"];

export interface TalesOptions {
  /** An integer from 0 to 2^53 - 1; 0 unless told. */
  readonly seed?: number;
  /** The text ends with the first story that reaches this many characters. */
  readonly length: number;
}

/** Stories, one per line. Story n of a seed is always the same one: a longer text begins with every shorter one. */
export function tales({ seed = 0, length }: TalesOptions): string {
  if (!(Number.isSafeInteger(length) && length > 0)) {
    throw new ConfigError(`tales: needs a positive integer for length, got ${length}.`, { where: "tales" });
  }
  const generator = new Generator(seed);
  const stories: string[] = [];
  for (let made = 0; made < length; made += stories[stories.length - 1].length) {
    const call = generator.next("tales");
    let draws = 0;
    stories.push(write(story, (bound) => randomInteger(call, draws++, bound)));
  }
  return stories.join("");
}

let entropy: number | undefined;

/**
 * The exact entropy of `tales` in nats per character: the expected information of a story over its expected length.
 * Each text has one derivation (`ambiguity(story)` finds none), so what the choices hold is what the text holds; no
 * model that predicts characters can have a lower loss, on average, on new stories.
 */
export function talesEntropy(): number {
  if (entropy === undefined) {
    const { nats, length } = measure(story);
    entropy = nats / length;
  }
  return entropy;
}
