import { demand } from '../../verification.js';
import type { PluginCheck } from '../check.js';

/** Ending, and leaving stdout alone. */
export const endingChecks: readonly PluginCheck[] = [
  {
    name: 'stdout',
    expects: 'nothing on stdout but the handshake line',
    async run(bench) {
      const lines = await (await bench.shared()).stdout();
      const others = lines.filter((line) => !line.startsWith('SIMMER-PLUGIN|'));
      demand(others.length === 0 && lines.length === 1, this.expects, others[0] ?? `${lines.length} handshake lines`);
    },
  },
  {
    name: 'shutdown',
    expects: 'the process to answer Shutdown, and to end with code 0 within its grace period',
    async run(bench) {
      const process = await bench.fresh();
      await process.client.shutdown(Math.min(5, bench.options.patience));
      const end = await process.ends();
      demand(end === 'exit code 0', 'exit code 0', end);
    },
  },
  {
    name: 'stdin',
    expects: 'the process to end when its stdin closes',
    async run(bench) {
      const process = await bench.fresh();
      process.closeStdin();
      await process.ends();
    },
  },
  {
    name: 'sigterm',
    expects: 'the process to end on SIGTERM',
    async run(bench) {
      const process = await bench.fresh();
      process.signal('SIGTERM');
      await process.ends();
    },
  },
];
