import { UserError } from '../errors.js';
import type { Workspace, WorkspaceFlags } from './workspace.js';

/** The home of this machine, or with `--server` (or SIMMER_SERVER) that of a server. */
export async function openWorkspace(flags: WorkspaceFlags): Promise<Workspace> {
  const address = serverOf(flags);
  if (address === undefined) {
    const { LocalWorkspace } = await import('./local-workspace.js');
    return LocalWorkspace.open(flags);
  }
  const own = (['home', 'data', 'python'] as const).find((name) => flags[name] !== undefined);
  if (own !== undefined) {
    throw new UserError('server_decides', `--${own} is for this machine, but ${address} does the work.`, {
      hint: `Leave it out; it is given to \`simmer serve\`.`,
    });
  }
  const { RemoteWorkspace } = await import('./remote-workspace.js');
  return RemoteWorkspace.open(address, flags);
}

/** The address of the server that is to do the work; undefined: this machine is. */
export function serverOf({ server = process.env.SIMMER_SERVER }: WorkspaceFlags): string | undefined {
  return server === '' ? undefined : server;
}

/**
 * For commands that only this machine can do: nothing is done here that was meant for a server.
 * @throws UserError `not_on_a_server`
 */
export function refuseServer(command: string, address: string | undefined): void {
  if (address === undefined || address === '') return;
  throw new UserError('not_on_a_server', `\`simmer ${command}\` acts on this machine, not on the server ${address}.`, {
    hint: "Run it on the server's machine; or for this one leave --server out, and unset SIMMER_SERVER.",
  });
}
