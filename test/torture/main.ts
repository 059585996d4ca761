/** `npm run torture -- NAME`: what breaks Simmer on purpose and says what was lost. */
const tortures: Readonly<Record<string, () => Promise<(args: readonly string[]) => Promise<number>>>> = {
  log: async () => (await import('./log.js')).tortureLog,
  trainer: async () => (await import('./trainer.js')).tortureTrainer,
  watch: async () => (await import('./watch.js')).tortureWatch,
};

const [name, ...args] = process.argv.slice(2);
const load = name === undefined ? undefined : tortures[name];
if (load === undefined) {
  console.error(`Usage: npm run torture -- NAME [OPTIONS], where NAME is one of: ${Object.keys(tortures).join(', ')}.`);
  process.exitCode = 2;
} else {
  process.exitCode = await (await load())(args);
}
