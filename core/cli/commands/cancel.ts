import type { RunSummary } from '../../engine/run-outcome.js';
import { exitCodes } from '../../errors.js';
import { wrapLine } from '../../wrap-text.js';
import { openWorkspace } from '../open-workspace.js';
import { simmerCall } from '../simmer-call.js';
import { columnsOf, sayToPeople, writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';

/** After which somebody who waits is told what for. */
const patienceMilliseconds = 15_000;

interface CancelFlags extends WorkspaceFlags {
  readonly now?: boolean;
}

/** `simmer cancel`: stops a run, whoever runs it, or takes it out of the queue. */
export async function cancel(name: string, flags: CancelFlags): Promise<number> {
  await using workspace = await openWorkspace(flags);
  const before = await workspace.find(name);
  const patience = setTimeout(() => sayToPeople(waitingLine(before)), patienceMilliseconds);
  const after = await workspace.cancel(before, flags.now ?? false).finally(() => clearTimeout(patience));
  if (flags.json) await writeJson(after);
  else await writeLine(wrapLine(canceledLine(before, after), columnsOf(process.stdout)).join('\n'));
  return exitCodes.ok;
}

/** Said to somebody who waits longer than expected. */
export function waitingLine({ runId }: Pick<RunSummary, 'runId'>): string {
  return `${runId} was told to stop. It first ends what it is doing, and waits for replies that are paid for: \`simmer cancel ${runId} --now\` drops those. Ctrl-C ends only this command.`;
}

/** What the cancelling did, for people. */
function canceledLine(before: RunSummary, { runId, status }: RunSummary): string {
  const goOn = `Go on with: ${simmerCall()} resume ${runId}`;
  if (status !== 'interrupted') return `${runId} has ended by itself: ${status}.`;
  switch (before.status) {
    case 'interrupted':
      return `${runId} was stopped before. ${goOn}`;
    case 'crashed':
      return `Nobody runs ${runId}: it was killed. It counts as stopped now. ${goOn}`;
    case 'queued':
      return `${runId} is out of the queue. ${goOn}`;
    default:
      return `${runId} is stopped; what is paid for is kept. ${goOn}`;
  }
}
