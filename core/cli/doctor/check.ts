/** What one look at the machine found. */
export interface Check {
  /** "Python", "disk space": what was looked at. */
  readonly name: string;
  /** `warn`: runs work, but not all or not well; `fail`: they do not. */
  readonly status: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  /** What to do about it; absent where nothing needs to be done. */
  readonly remedy?: string;
}
