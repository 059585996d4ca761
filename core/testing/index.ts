/** For tests of plugins and trainers: `import { FakeTrainerServer } from 'simmerkit/testing'`. */

export { type FakeTrainerOptions, FakeTrainerServer } from './fake-trainer/fake-trainer-server.js';
export { type Misbehavior, misbehaviorSchema, type Violation, violations } from './fake-trainer/misbehavior.js';
export { fakeTrainerPlugin, fakeTrainerProgram } from './fake-trainer-plugin.js';
export { type HarnessRun, type HarnessRunOptions, RunHarness, type RunHarnessOptions } from './run-harness.js';
export {
  type MemoryReport,
  type MemoryTable,
  memoryArtifact,
  memoryTable,
  type RunStageOptions,
  runStage,
  type StageResult,
} from './run-stage.js';
export {
  checkNames,
  type Verification,
  type VerifyOptions,
  verifyTrainer,
} from './trainer-conformance/verify-trainer.js';
export type { CheckResult } from './verification.js';
