/**
 * `tales`: small stories for small models, as many as one likes. Written so that learning shows in steps: letters, words,
 * sentences, speech, and at last plots, whose parts agree: who is a "she" stays one, what is lost is what is found, a
 * cat says "Meow", rain calls for boots, and three apples less one are two.
 */

import { ConfigError } from "../core/errors.js";
import { Generator, randomInteger } from "../core/random.js";
import { either, measure, pick, type Rule, write } from "./grammar.js";

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
const people = [
  ...["Anna", "Clara", "Emma", "Lily", "Mia", "Nora"].map(girl),
  ...["Ben", "Felix", "Jack", "Leo", "Sam", "Tom"].map(boy),
];
const others = (person: Person) => people.filter(({ name }) => name !== person.name);

const openings = ["One day", "One morning", "Last week", "On Monday", "On Sunday", "After lunch", "In May", "Once"];
const colours = ["red", "blue", "green", "yellow", "white", "brown", "golden", "tiny", "new"];
const toys = ["ball", "boat", "book", "doll", "drum", "hat", "kite", "key", "ring", "shell", "train", "whistle"];

/** Where stories happen, and where in there a thing can hide. */
const places = [
  { at: "to the garden", spots: ["behind the roses", "under the bench", "in the tall grass", "near the well"] },
  { at: "to the beach", spots: ["in the sand", "behind the rocks", "under a towel", "near the boats"] },
  { at: "to the park", spots: ["under the old oak", "behind the swings", "by the pond", "near the gate"] },
  { at: "into the woods", spots: ["in a hollow tree", "under the leaves", "behind a stone", "by the stream"] },
  { at: "to the farm", spots: ["in the hay", "behind the barn", "under the cart", "among the hens"] },
  { at: "up the hill", spots: ["under a bush", "between the stones", "in a puddle", "behind the hut"] },
];

/** A thing is lost, looked for where it is not, and found with the help of a friend. */
const lost = (hero: Person): Rule =>
  pick(places, ({ at, spots }) => [
    `went ${at} with ${hero.his} `,
    pick(colours, (colour) =>
      pick(toys, (toy) => [
        `${colour} ${toy}. `,
        either(
          [hero.He, either(" ran and jumped", " climbed and danced", " slept in the sun"), ", and then "],
          ["The wind ", either("blew hard", "was strong"), ", and suddenly "],
          "A big dog came running, and ",
        ),
        `the ${toy} was `,
        either("gone", "lost", "not there any more"),
        ". ",
        either(
          `"Where is my ${toy}?" ${either.name ? "" : ""}`,
          `"I want my ${colour} ${toy} back!" `,
          `"Oh no, my ${toy}!" `,
        ),
        either("said", "cried", "asked"),
        ` ${hero.name}. `,
        pick(spots, (wrong) => [
          `${hero.He} looked ${wrong}, but it was not there. `,
          pick(others(hero), (friend) => [
            either("Then", "Soon"),
            ` ${friend.name} came to help. ${friend.He} looked `,
            pick(
              spots.filter((spot) => spot !== wrong),
              (right) => `${right}, and there was the ${colour} ${toy}! `,
            ),
            `"Thank you, ${friend.name}," said ${hero.name}. `,
          ]),
        ]),
        either("They played until the sun went down.", "They were friends for ever after.", "They laughed all day."),
      ]),
    ),
  ]);
