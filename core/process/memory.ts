import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

export interface ProcessMemory {
  readonly pid: number;
  readonly parent: number;
  readonly residentBytes: number;
  /** The most that was resident since it began; where the system does not tell, what is resident. */
  readonly peakBytes: number;
}

/**
 * Resident memory of processes and all their descendants, in bytes; each counted once, those that are gone not at all.
 * Pages that processes share are counted for each of them.
 */
export async function residentMemoryBytes(pids: readonly number[]): Promise<number> {
  return (await processMemories(pids)).reduce((total, { residentBytes }) => total + residentBytes, 0);
}

/** As `residentMemoryBytes`, of each of them. */
export async function processMemories(pids: readonly number[]): Promise<readonly ProcessMemory[]> {
  if (pids.length === 0) return [];
  const all = process.platform === 'linux' ? await linuxProcesses() : await posixProcesses();
  const byPid = new Map(all.map((entry) => [entry.pid, entry]));
  const children = groupByParent(all);
  const counted = new Map<number, ProcessMemory>();
  const waiting = [...pids];
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    const entry = byPid.get(pid);
    if (entry === undefined || counted.has(pid)) continue;
    counted.set(pid, entry);
    for (const child of children.get(pid) ?? []) waiting.push(child.pid);
  }
  return [...counted.values()];
}

function groupByParent(all: readonly ProcessMemory[]): Map<number, ProcessMemory[]> {
  const groups = new Map<number, ProcessMemory[]>();
  for (const entry of all) {
    const group = groups.get(entry.parent);
    if (group === undefined) groups.set(entry.parent, [entry]);
    else group.push(entry);
  }
  return groups;
}

async function linuxProcesses(): Promise<readonly ProcessMemory[]> {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const entries = await Promise.all(names.map((name) => linuxProcess(Number(name))));
  return entries.filter((entry) => entry !== undefined);
}

async function linuxProcess(pid: number): Promise<ProcessMemory | undefined> {
  try {
    const status = await readFile(`/proc/${pid}/status`, 'latin1');
    const parent = Number(/^PPid:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    // Kernel threads have neither.
    const [resident, peak] = [/^VmRSS:\s+(\d+) kB/m, /^VmHWM:\s+(\d+) kB/m].map(
      (line) => Number(line.exec(status)?.[1] ?? 0) * 1024,
    );
    return { pid, parent, residentBytes: resident ?? 0, peakBytes: peak ?? 0 };
  } catch {
    return undefined;
  }
}

async function posixProcesses(): Promise<readonly ProcessMemory[]> {
  const { stdout } = await execFileAsync('ps', ['-axo', 'pid=,ppid=,rss='], { maxBuffer: 16 * 1024 * 1024 });
  return stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([pid = 0, parent = 0, kibibytes = 0]) => {
      const residentBytes = kibibytes * 1024;
      return { pid, parent, residentBytes, peakBytes: residentBytes };
    });
}
