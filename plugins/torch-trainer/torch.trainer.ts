import { resolve } from 'node:path';
import { defineTrainer, preparePythonEnvironment } from 'simmerkit';
import { calibrationRuns } from './calibration.js';
import { estimateJob } from './estimate.js';
import { torchExtensions, torchTrainerOptions } from './options.js';
import {
  relevantTorchVersions,
  trainerLockFile,
  trainerPackageFolder,
  trainerRequirements,
} from './torch-environment.js';

export const torch = defineTrainer({
  description: 'Fine-tunes and generates with PyTorch, transformers, TRL and PEFT.',
  options: torchTrainerOptions,
  extensions: torchExtensions,
  gpusPerProcess: 1,
  resources: ({ threads }) => ({ cpus: threads ?? 2 }),
  relevantVersions: ({ python }, where) =>
    relevantTorchVersions(python === undefined ? where.python : ownPython(python, where.recipeFolder)),
  estimate: (job, _, place) => estimateJob(job, place),
  calibration: calibrationRuns,
  async prepare({ python, device, threads, accelerateConfig }, context) {
    const environment = await preparePythonEnvironment({
      name: 'torch-trainer',
      lockFile: trainerLockFile(),
      ...(python === undefined ? {} : { python: ownPython(python, context.recipeFolder) }),
      requirements: await trainerRequirements(),
      cacheFolder: context.cacheFolder,
      packageFolders: [trainerPackageFolder()],
      context,
    });
    return {
      argv: [environment.python, '-m', 'simmer_trainer'],
      env: {
        ...environment.env,
        ...(device === 'cpu' ? { SIMMER_DEVICE: 'cpu' } : {}),
        ...(threads === undefined ? {} : { OMP_NUM_THREADS: String(threads) }),
        ...(accelerateConfig === undefined
          ? {}
          : { SIMMER_ACCELERATE_CONFIG: resolve(context.recipeFolder, accelerateConfig) }),
      },
    };
  },
});

/** A path is relative to the recipe; a bare name ("python3.12") is looked up as a command. */
function ownPython(python: string, recipeFolder: string): string {
  return python.includes('/') ? resolve(recipeFolder, python) : python;
}
