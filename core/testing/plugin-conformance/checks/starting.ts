import { canonicalJson } from '../../../document/canonical-json.js';
import { checkPluginShape } from '../../../plugin/check-shape.js';
import { describeExit } from '../../../process/handshake.js';
import { demand } from '../../verification.js';
import type { PluginCheck } from '../check.js';

/** Coming up, and saying what it is. */
export const startingChecks: readonly PluginCheck[] = [
  {
    name: 'handshake',
    expects: 'the line SIMMER-PLUGIN|1|1|ADDRESS on stdout once it serves, with the address that it was given',
    async run(bench) {
      const { address, requestedAddress } = await bench.shared();
      demand(address === requestedAddress, `the address ${requestedAddress}`, address);
    },
  },
  {
    name: 'versions',
    expects:
      'no handshake line, and an exit code other than 0, where the host offers no version that the plugin speaks',
    async run(bench) {
      const process = await bench.spawn('999');
      const exit = await process.within(
        process.exited,
        'the end of a process whose SIMMER_PLUGIN_PROTOCOLS offers version 999 alone',
      );
      const lines = (await process.stdout()).filter((line) => line.startsWith('SIMMER-PLUGIN'));
      demand(lines.length === 0, 'no handshake line', lines[0] ?? '');
      demand(exit.exitCode !== 0 && exit.exitCode !== null, 'an exit code other than 0', describeExit(exit));
    },
  },
  {
    name: 'health',
    expects: 'grpc.health.v1 to say SERVING for simmer.plugin.v1.PluginService',
    async run(bench) {
      const { client } = await bench.shared();
      demand(await client.isHealthy(bench.options.patience * 1000), this.expects, 'another status, or no answer');
    },
  },
  {
    name: 'describe',
    expects: 'Describe to name the plugin, its semantic version, and contributions that the host can take',
    async run(bench) {
      checkPluginShape(await bench.definition(), bench.options.plugin.called);
    },
  },
  {
    name: 'describe-again',
    expects: 'Describe to say the same at each call, in this process and in another',
    async run(bench) {
      const first = canonicalJson(plain(await bench.describe()));
      const { client } = await bench.shared();
      demand(
        canonicalJson(plain(await client.describe(bench.options.patience))) === first,
        'the same',
        'another answer',
      );
      const other = await bench.fresh();
      const told = canonicalJson(plain(await other.client.describe(bench.options.patience)));
      demand(told === first, 'the same from another process', 'another answer');
    },
  },
  {
    name: 'descriptions',
    expects: 'a description of each contribution, option, input and output, for who writes recipes',
    async run(bench) {
      const { stages, trainers, launchers, graders, sinks } = await bench.describe();
      const silent = [...stages, ...trainers, ...launchers, ...graders, ...sinks].flatMap((each) => [
        ...(each.description.trim() === '' ? [each.name] : []),
        ...silentOptions(each.optionsSchema).map((option) => `${each.name}.${option}`),
      ]);
      const ports = stages.flatMap(({ name, inputs, outputs }) =>
        [...inputs, ...outputs].filter((port) => port.description.trim() === '').map((port) => `${name}.${port.name}`),
      );
      const all = [...silent, ...ports];
      demand(all.length === 0, this.expects, `none of ${all.join(', ')}`);
    },
  },
];

function silentOptions(schema: { readonly [key: string]: unknown } | undefined): readonly string[] {
  const properties = (schema?.properties ?? {}) as Readonly<Record<string, { readonly description?: unknown }>>;
  return Object.entries(properties).flatMap(([name, { description }]) =>
    typeof description === 'string' && description.trim() !== '' ? [] : [name],
  );
}

function plain(message: unknown): unknown {
  return JSON.parse(
    JSON.stringify(message, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
  );
}
