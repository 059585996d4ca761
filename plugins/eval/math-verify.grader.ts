import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  defineGrader,
  placement,
  preparePythonEnvironment,
  projectRequirements,
  runsCode,
  startProcessGrader,
  z,
} from 'simmerkit';

/** Says whether two mathematical answers are equal, by math-verify, in a Python process with an environment of its own. */
export const mathVerify = defineGrader({
  description: 'Compares answers as mathematics with math-verify: "1/2", "0.5" and "\\frac{1}{2}" are equal.',
  options: z.strictObject({
    python: placement(
      runsCode(z.string())
        .optional()
        .describe('A Python that has math-verify and grpcio. Absent: Simmer makes an environment.'),
    ),
    timeoutMilliseconds: z
      .number()
      .int()
      .min(100)
      .default(10_000)
      .describe('Hard limit for one answer, in milliseconds; what takes longer is counted as timed out.'),
  }),
  async start({ python, timeoutMilliseconds }, context) {
    const own = python?.includes('/') ? resolve(context.recipeFolder, python) : python;
    const packageFolder = graderPackageFolder();
    const environment = await preparePythonEnvironment({
      name: 'math-verify',
      lockFile: join(packageFolder, 'locks', 'grader.txt'),
      ...(own === undefined ? {} : { python: own }),
      requirements: await projectRequirements(join(packageFolder, 'pyproject.toml')),
      cacheFolder: context.cacheFolder,
      packageFolders: [packageFolder],
      context,
    });
    return startProcessGrader({
      name: 'math-verify',
      command: { argv: [environment.python, '-m', 'simmer_grader'], env: environment.env },
      itemMilliseconds: timeoutMilliseconds,
      signal: context.signal,
    });
  },
});

/** The folder with the package `simmer_grader`, which is not compiled. */
function graderPackageFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const beside = join(here, 'python');
  return existsSync(beside) ? beside : resolve(here, '../../../plugins/eval/python');
}
