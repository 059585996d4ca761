/** Who is in a story, with the pronoun that later sentences use. */
export const people: readonly (readonly [name: string, pronoun: string])[] = [
  ['Mia', 'She'],
  ['Noah', 'He'],
  ['Ava', 'She'],
  ['Liam', 'He'],
  ['Zoe', 'She'],
  ['Omar', 'He'],
  ['Ella', 'She'],
  ['Hugo', 'He'],
  ['Ivy', 'She'],
  ['Leo', 'He'],
  ['Nora', 'She'],
  ['Sam', 'He'],
  ['Ruby', 'She'],
  ['Finn', 'He'],
  ['Lena', 'She'],
  ['Max', 'He'],
];

/** Where a story takes place: the problem's domain. */
export interface Setting {
  readonly domain: string;
  /** The first sentence; {name}, {number} and {items} stand for what is drawn. */
  readonly opening: string;
  /** Subject of later sentences; absent: the person's pronoun. */
  readonly subject?: string;
  readonly items: readonly string[];
  readonly gains: readonly string[];
  readonly losses: readonly string[];
}

export const settings: readonly Setting[] = [
  {
    domain: 'toys',
    opening: '{name} has {number} {items}.',
    items: ['marbles', 'stickers', 'cards', 'beads', 'coins', 'shells', 'stamps', 'buttons'],
    gains: ['finds', 'wins', 'buys'],
    losses: ['loses', 'gives away', 'sells'],
  },
  {
    domain: 'bakery',
    opening: 'A bakery has {number} {items}.',
    subject: 'It',
    items: ['rolls', 'muffins', 'pies', 'cakes', 'cookies', 'bagels'],
    gains: ['bakes', 'makes', 'receives'],
    losses: ['sells', 'throws out', 'gives away'],
  },
  {
    domain: 'farm',
    opening: 'A farm has {number} {items}.',
    subject: 'It',
    items: ['goats', 'ducks', 'sheep', 'hens', 'cows', 'pigs'],
    gains: ['buys', 'raises', 'rescues'],
    losses: ['sells', 'loses', 'trades'],
  },
  {
    domain: 'library',
    opening: 'A library holds {number} {items}.',
    subject: 'It',
    items: ['books', 'maps', 'films', 'comics', 'records', 'games'],
    gains: ['buys', 'receives', 'adds'],
    losses: ['lends', 'loses', 'sells'],
  },
  {
    domain: 'garden',
    opening: '{name} grows {number} {items}.',
    items: ['roses', 'tulips', 'pumpkins', 'melons', 'carrots', 'onions'],
    gains: ['plants', 'adds', 'grows'],
    losses: ['picks', 'cuts', 'gives away'],
  },
  {
    domain: 'port',
    opening: 'A ship carries {number} {items}.',
    subject: 'It',
    items: ['boxes', 'barrels', 'crates', 'bags', 'cars', 'tires'],
    gains: ['loads', 'takes on', 'picks up'],
    losses: ['unloads', 'drops', 'delivers'],
  },
];
