import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

/** Names one process for ever: a pid alone is used again. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in the system's own terms; only compared for equality. */
  readonly startTime: string;
}

/** Who has this pid now. Undefined where nobody has it, or only a zombie that no one has reaped yet. */
export async function processIdentity(pid: number): Promise<ProcessIdentity | undefined> {
  const startTime = process.platform === 'linux' ? await linuxStartTime(pid) : await posixStartTime(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** Whether this very process still runs. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await processIdentity(identity.pid))?.startTime === identity.startTime;
}

/** Whether it is stopped, as Ctrl-Z stops it: it is alive, and does nothing until somebody has it go on. */
export async function isStopped(pid: number): Promise<boolean> {
  const state = process.platform === 'linux' ? (await linuxFields(pid))?.[0] : await posixLine(pid);
  return state?.startsWith('T') ?? false;
}

/** What to do about a process that `isStopped`, and that others wait for. */
export function stoppedAdvice(pid: number): string {
  return `Process ${pid} is stopped: have it go on with fg in its terminal, or end it with: kill -9 ${pid}`;
}

/** Field 22 of /proc/PID/stat, in clock ticks since boot; the boot id makes it unique over reboots. */
async function linuxStartTime(pid: number): Promise<string | undefined> {
  const fields = await linuxFields(pid);
  if (fields === undefined || fields[0] === 'Z' || fields[0] === 'X') return undefined;
  bootId ??= (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim();
  return `${bootId}/${fields[19]}`;
}

let bootId: string | undefined;

/** The fields of /proc/PID/stat from the third one on, which is the state. */
async function linuxFields(pid: number): Promise<readonly string[] | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command's name in brackets and may itself hold brackets and spaces.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

async function posixStartTime(pid: number): Promise<string | undefined> {
  const line = await posixLine(pid);
  if (line === undefined || line === '' || line.startsWith('Z')) return undefined;
  return line.slice(line.indexOf(' ')).trim();
}

/** The state, and after it when the process started. */
async function posixLine(pid: number): Promise<string | undefined> {
  try {
    const { stdout } = await execFileAsync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      env: { ...process.env, LC_ALL: 'C' },
    });
    return stdout.trim();
  } catch {
    return undefined;
  }
}
