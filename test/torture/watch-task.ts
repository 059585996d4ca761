/** What is sent to the processes of this torture when they are started. */
export interface WatchTask {
  readonly home: string;
  readonly address: string;
  readonly runId: string;
  readonly events: number;
  readonly rate: number;
  readonly clients: number;
  readonly seed: string;
}
