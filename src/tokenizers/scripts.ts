/** Runs of one script, for the `UnicodeScripts` pre-tokenizer. */

const NAMES =
  "Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Ugaritic Vai Wancho Warang_Citi Yezidi Yi Zanabazar_Square";

let scripts: [string, RegExp][] | undefined;
const known = new Map<number, string>();

/** Script of a character; kana count as Han, spaces and unassigned characters go with anything ("Any"). */
function scriptOf(code: number): string {
  let script = known.get(code);
  if (script !== undefined) return script;
  scripts ??= NAMES.split(" ").map((name) => [name, new RegExp(`\\p{Script=${name}}`, "u")]);
  const character = String.fromCodePoint(code);
  script = scripts.find(([, expression]) => expression.test(character))?.[0] ?? "Any";
  if (script === "Hiragana" || script === "Katakana" || code === 0x30fc) script = "Han";
  if (code === 0x20) script = "Any";
  known.set(code, script);
  return script;
}

/** `[start, end)` of each run; what comes before the first character that has a script is left out. */
export function scriptRanges(text: string): [number, number][] {
  const cuts: number[] = [];
  let last = "";
  let at = 0;
  for (const character of text) {
    const script = scriptOf(character.codePointAt(0) as number);
    if (script !== "Any") {
      if (script !== last) cuts.push(at);
      last = script;
    }
    at += character.length;
  }
  cuts.push(text.length);
  return cuts.slice(1).map((end, i) => [cuts[i], end]);
}
