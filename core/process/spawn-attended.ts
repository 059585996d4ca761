import type { Socket } from 'node:net';
import { type DetachedProcess, type SpawnOptions, spawnWithFiles } from './spawn-detached.js';

/**
 * Starts a process that must not outlive this one: its stdin is a pipe that closes when this process ends, however it
 * ends. It is in a group of its own, so that Ctrl-C reaches only us.
 * @throws UserError `program_not_found`
 */
export async function spawnAttended(options: SpawnOptions): Promise<DetachedProcess & { closeStdin(): void }> {
  const { child, exited } = await spawnWithFiles(options, 'pipe');
  const stdin = child.stdin as Socket;
  // It may end before its stdin is closed.
  stdin.on('error', () => {});
  child.unref();
  stdin.unref();
  return { pid: child.pid as number, exited, closeStdin: () => void stdin.end() };
}
