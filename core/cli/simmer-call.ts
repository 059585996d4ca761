/** Of commands in what is said to people, those for runs: they need the flags that say where the runs are. */
const runCommands =
  /(?<!npx )\bsimmer (?=(?:run|plan|resume|watch|cancel|runs|report|artifacts|rows|explain|remove)\b)/g;
const otherCommands =
  /(?<!npx )\bsimmer (?=(?:validate|inspect|doctor|compare|eval|serve|plugins|schema|plugin|trainer|help)\b)/g;

let program = 'simmer';
let call = program;

interface PlaceFlags {
  readonly home?: string;
  readonly server?: string;
  readonly serverTokenFile?: string;
}

/** How a process was started. */
interface Started {
  /** Of the program, as it was called: where it is a link, that of the link. */
  readonly path: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Notes how this process was started, and the flags by which it was told where runs are. */
export function noteCall(
  { home, server, serverTokenFile }: PlaceFlags,
  started: Started = { path: process.argv[1] ?? '', env: process.env },
): void {
  const flags = { '--server': server, '--server-token-file': serverTokenFile, '--home': home };
  const given = Object.entries(flags).flatMap(([flag, value]) => (value === undefined ? [] : [flag, quoted(value)]));
  program = isStartedByNpm(started) ? 'npx simmer' : 'simmer';
  call = [program, ...given].join(' ');
}

/** From a project, by npx or one of its scripts, or by `npm start` in the checkout: a shell finds no `simmer` there. */
function isStartedByNpm({ path, env }: Started): boolean {
  const isOfProject = path.endsWith('/node_modules/.bin/simmer');
  return isOfProject || (env.npm_lifecycle_event === 'start' && env.npm_package_name === 'simmerkit');
}

/** How Simmer is called for the runs of this command: "simmer --home there", "npx simmer". */
export function simmerCall(): string {
  return call;
}

/** The text with its commands such that they work as they are copied. */
export function withCall(text: string): string {
  return text.replaceAll(runCommands, () => `${call} `).replaceAll(otherCommands, () => `${program} `);
}

/** As a shell takes it for one word. */
function quoted(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
