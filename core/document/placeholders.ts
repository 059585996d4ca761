/** `${{ stages.NAME.OUTPUT }}`, where a value would be. */
export class StageOutput {
  readonly stage: string;
  readonly output: string;

  constructor(stage: string, output: string) {
    this.stage = stage;
    this.output = output;
  }
}

/** Stands where a reference led nowhere, which is a problem already: nothing more is said of that value. */
export const unresolved = Symbol('unresolved');
