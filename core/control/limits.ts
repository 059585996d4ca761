/** What one client, or all of them, may take of the server. */
export interface ServerLimits {
  /** Largest request, in bytes, after decompression. @default 1 MiB */
  readonly messageBytes: number;
  /** Largest text of a recipe, in bytes. @default 256 KiB */
  readonly recipeBytes: number;
  /** Most lines of a recipe. @default 20,000 */
  readonly recipeLines: number;
  /** Connections at a time; the next is closed at once. @default 512 */
  readonly connections: number;
  /** Calls at a time on one connection. @default 256 */
  readonly streams: number;
  /** Watchers at a time, over all connections. @default 1,024 */
  readonly watchers: number;
  /** Calls at a time that read whole tables (WriteReport, ExplainRow, DiffEvaluations); the next wait their turn. @default 2 */
  readonly analyses: number;
  /** Calls that wait for that; more are refused. @default 20 */
  readonly waitingAnalyses: number;
  /** Calls that wait to remove runs, one after the other; more are refused. @default 20 */
  readonly waitingRemovals: number;
  /** Recipes that are checked and planned at a time; the next wait their turn. @default 2 */
  readonly plans: number;
  /** Recipes that wait for that; more are refused. @default 200 */
  readonly waitingPlans: number;
  /** Calls a second from one address (all clients of a unix socket are one), on average; as many without a token. @default 200 */
  readonly callsPerSecond: number;
  /** Calls from one address that may come at once, before the average counts. @default 1,000 */
  readonly callBurst: number;
  /** Runs that wait in the queue. @default 1,000 */
  readonly queuedRuns: number;
  /** How long a new connection may take to speak HTTP/2, in milliseconds. @default 10,000 */
  readonly handshakeMilliseconds: number;
  /** After so much silence a connection is asked whether it lives, in milliseconds. @default 20,000 */
  readonly keepaliveMilliseconds: number;
  /** How long it may take to answer that, in milliseconds; then it is closed. @default 10,000 */
  readonly keepaliveTimeoutMilliseconds: number;
}

export const defaultLimits: ServerLimits = {
  messageBytes: 1024 * 1024,
  recipeBytes: 256 * 1024,
  recipeLines: 20_000,
  connections: 512,
  streams: 256,
  watchers: 1024,
  analyses: 2,
  waitingAnalyses: 20,
  waitingRemovals: 20,
  plans: 2,
  waitingPlans: 200,
  callsPerSecond: 200,
  callBurst: 1000,
  queuedRuns: 1000,
  handshakeMilliseconds: 10_000,
  keepaliveMilliseconds: 20_000,
  keepaliveTimeoutMilliseconds: 10_000,
};
