import { execFile } from 'node:child_process';
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
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

/** Where a process was, as it wrote that down itself. */
export interface ProcessPlace {
  readonly host: string;
  /** `machineIdentity` there. */
  readonly machine?: string;
}

/** Where this process is. */
export async function processPlace(): Promise<ProcessPlace> {
  const machine = await machineIdentity();
  return { host: hostname(), ...(machine === undefined ? {} : { machine }) };
}

/** Whether processes of that place are seen from here, and so are their locks; whatever this machine was called then. */
export async function isSeenFromHere(place: ProcessPlace): Promise<boolean> {
  return isSamePlace(place, await processPlace());
}

export function isSamePlace(one: ProcessPlace, other: ProcessPlace): boolean {
  return one.host === other.host || (one.machine !== undefined && one.machine === other.machine);
}

/**
 * Names this machine since its start, and of its processes those that this one sees: each container has its own. Unlike
 * its name it stays. Undefined where the system does not tell.
 */
export function machineIdentity(): Promise<string | undefined> {
  machine ??= process.platform === 'linux' ? linuxMachine() : darwinMachine();
  return machine;
}

let machine: Promise<string | undefined> | undefined;

async function linuxMachine(): Promise<string | undefined> {
  try {
    const boot = await linuxBootId();
    return `${boot}/${await readlink('/proc/self/ns/pid')}/${await readlink('/proc/self/ns/net')}`;
  } catch {
    return undefined;
  }
}

async function darwinMachine(): Promise<string | undefined> {
  try {
    const { stdout } = await execFileAsync('sysctl', ['-n', 'kern.bootsessionuuid']);
    return stdout.trim() || undefined;
  } catch {
    return undefined;
  }
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
  bootId ??= linuxBootId();
  return `${await bootId.catch(() => '')}/${fields[19]}`;
}

let bootId: Promise<string> | undefined;

/** Names the kernel since its start, for all of its containers. */
export async function linuxBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

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
      // The time would be another one where this process is in another zone than the one that noted it.
      env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
    });
    return stdout.trim();
  } catch {
    return undefined;
  }
}
