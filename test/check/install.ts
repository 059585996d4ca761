import { InstalledSimmer, run } from '../e2e/plugin-package.js';

/**
 * What a newcomer does, with a real registry: installs simmerkit and plugins of both languages from their tarballs into an
 * empty folder, and runs them. Its short version, without a registry, is test/e2e/plugin-package.test.ts.
 */
const say = (message: string) => void process.stderr.write(`${message}\n`);
const results: Record<string, { readonly listed: boolean; readonly inSchema: boolean; readonly ran: boolean }> = {};
say('Packing and installing simmerkit.');
await using installed = await InstalledSimmer.create('npm');
for (const [name, language] of [
  ['short-words', 'typescript'],
  ['short-snakes', 'python'],
] as const) {
  say(`Making, packing and installing a plugin in ${language}.`);
  const folder = await installed.author(name, language);
  if (language === 'typescript') say(await run('npm', ['test'], folder));
  await installed.packAndInstall(name, folder);
  results[language] = {
    listed: (await installed.stagesOf(name)).includes('keep-short'),
    inSchema: (await installed.stagesInSchema()).includes(`${name}/keep-short`),
    ran: (await installed.runRecipe(name)).type === 'run.completed',
  };
}
say('Building the Python packages where they are installed.');
const pip = {
  python: await installed.pipBuilds('python'),
  'python-plugin': await installed.pipBuilds('python-plugin'),
};
process.stdout.write(`${JSON.stringify({ ...results, pip })}\n`);
const isEach = (checks: Readonly<Record<string, boolean>>) => Object.values(checks).every(Boolean);
if (!Object.values({ ...results, pip }).every(isEach)) process.exitCode = 1;
