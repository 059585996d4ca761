import { type RunningSimmer, simmer, startSimmer } from './cli-process.js';

/** A `simmer serve` that runs; stopped when disposed, at the latest. */
interface Serving extends RunningSimmer, AsyncDisposable {
  readonly address: string;
  stop(): Promise<void>;
}

/** Starts `simmer serve` in the folder and waits until it says where. */
export async function serve(cwd: string, ...args: string[]): Promise<Serving> {
  const server = startSimmer(['serve', '--json', ...args], { cwd });
  const { address } = JSON.parse(await server.printed('\n')) as { readonly address: string };
  const stop = async () => {
    server.child.kill('SIGTERM');
    await server.ended;
  };
  return { ...server, address, stop, [Symbol.asyncDispose]: stop };
}

/** What was said without what differs from run to run. */
export function plain(text: string): string {
  return text
    .replaceAll(/(small|before|after)-\d{8}-\d{6}-[0-9a-f]{4}/g, '$1-RUN')
    .replaceAll(/\d+(\.\d+)?s\b/g, 'N s')
    .replaceAll(/^\d\d:\d\d/gm, 'T')
    .replaceAll(/\S*\/(\.simmer|other)\//g, 'HOME/');
}

/** Runs a command here, on that home, and on the server, and gives both without what differs from run to run. */
export async function hereAndThere(cwd: string, address: string, args: readonly string[], home = 'other') {
  const places = [{ SIMMER_HOME: home }, { SIMMER_SERVER: address }];
  const ended = await Promise.all(places.map((env) => simmer(args, { cwd, env })));
  return ended.map((one) => ({ ...one, stdout: plain(one.stdout) }));
}
