import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  defineGrader,
  installedVersions,
  placement,
  preparePythonEnvironment,
  projectRequirements,
  runsCode,
  startProcessGrader,
  usePython,
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
  // An environment that Simmer makes is told by its lock file, which is code.
  relevantVersions: async ({ python }, where) => {
    const own = python === undefined ? where.python : ownPython(python, where.recipeFolder);
    return own === undefined ? {} : relevantIn(own);
  },
  async start({ python, timeoutMilliseconds }, context) {
    const own = python === undefined ? undefined : ownPython(python, context.recipeFolder);
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

function ownPython(python: string, recipeFolder: string): string {
  return python.includes('/') ? resolve(recipeFolder, python) : python;
}

/** Distributions that verdicts depend on. */
const relevant = ['math-verify', 'latex2sympy2-extended', 'antlr4-python3-runtime', 'sympy'] as const;

async function relevantIn(python: string): Promise<Readonly<Record<string, string>>> {
  const { signal } = new AbortController();
  const versions = await installedVersions((await usePython(python, signal)).path, signal);
  return Object.fromEntries(relevant.flatMap((name) => (name in versions ? [[name, versions[name]!]] : [])));
}

/** The folder with the package `simmer_grader`, which is not compiled. */
function graderPackageFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const beside = join(here, 'python');
  return existsSync(beside) ? beside : resolve(here, '../../../plugins/eval/python');
}
