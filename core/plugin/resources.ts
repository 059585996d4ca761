/** What a stage, a trainer or the machine has or needs. Absent is "does not matter". */
export interface Resources {
  /** Logical cores. */
  readonly cpus?: number;
  readonly memoryBytes?: number;
  /** Accelerators, over all nodes. */
  readonly gpus?: number;
  readonly nodes?: number;
  /** What the accelerators, or the machines without any, are: a name of the settings' `hardware`. */
  readonly hardware?: string;
}
