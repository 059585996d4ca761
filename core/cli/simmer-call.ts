/** Of commands in what is said to people, those for runs: they need the flags that say where the runs are. */
const runCommands = /\bsimmer (?=(?:run|plan|resume|watch|cancel|runs|report|artifacts|rows|explain|remove)\b)/g;

let call = 'simmer';

interface PlaceFlags {
  readonly home?: string;
  readonly server?: string;
  readonly serverTokenFile?: string;
}

/** Notes the flags by which this process was told where runs are. */
export function noteCall({ home, server, serverTokenFile }: PlaceFlags): void {
  const flags = { '--server': server, '--server-token-file': serverTokenFile, '--home': home };
  const given = Object.entries(flags).flatMap(([flag, value]) => (value === undefined ? [] : [flag, quoted(value)]));
  call = ['simmer', ...given].join(' ');
}

/** How Simmer is called for the runs of this command: "simmer --home there". */
export function simmerCall(): string {
  return call;
}

/** The text with its commands for runs such that they work as they are copied. */
export function withCall(text: string): string {
  return text.replaceAll(runCommands, () => `${call} `);
}

/** As a shell takes it for one word. */
function quoted(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
