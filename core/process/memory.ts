import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

interface ProcessMemory {
  readonly pid: number;
  readonly parent: number;
  readonly residentBytes: number;
}

/**
 * Resident memory of processes and all their descendants, in bytes; each counted once, those that are gone not at all.
 * Pages that processes share are counted for each of them.
 */
export async function residentMemoryBytes(pids: readonly number[]): Promise<number> {
  if (pids.length === 0) return 0;
  const all = process.platform === 'linux' ? await linuxProcesses() : await posixProcesses();
  const byPid = new Map(all.map((entry) => [entry.pid, entry]));
  const children = groupByParent(all);
  const counted = new Set<number>();
  const waiting = [...pids];
  let total = 0;
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    const entry = byPid.get(pid);
    if (entry === undefined || counted.has(pid)) continue;
    counted.add(pid);
    total += entry.residentBytes;
    for (const child of children.get(pid) ?? []) waiting.push(child.pid);
  }
  return total;
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
    // Kernel threads have no VmRSS.
    const kibibytes = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0);
    return { pid, parent, residentBytes: kibibytes * 1024 };
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
    .map(([pid = 0, parent = 0, kibibytes = 0]) => ({ pid, parent, residentBytes: kibibytes * 1024 }));
}
