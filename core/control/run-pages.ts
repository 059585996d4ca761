import { UserError } from '../errors.js';
import type { ListRunsRequest } from '../generated/simmer/control/v1/control.js';
import { type ServedRun, toRunStatus } from './wire.js';

const defaultPageSize = 100;
const largestPageSize = 1000;
/** Of what clients have changed in recipes, which may be long: a page has to fit into the 4 MiB that clients take. */
const mostBytes = 1024 * 1024;

/**
 * One page of runs, the newest first. A token names the last run of its page, so that runs which begin meanwhile shift
 * nothing. @throws UserError `invalid_page_token`
 */
export function pageOf(
  runs: readonly ServedRun[],
  { pageSize, pageToken, filter }: ListRunsRequest,
): { readonly runs: readonly ServedRun[]; readonly nextPageToken: string } {
  const after = pageToken === '' ? undefined : readToken(pageToken);
  const wanted = runs.filter(
    (run) =>
      (filter === undefined ||
        ((filter.statuses.length === 0 || filter.statuses.includes(toRunStatus(run.status))) &&
          (filter.recipe === undefined || filter.recipe === run.recipe) &&
          (filter.createdAfter === undefined || Date.parse(run.startedAt) > filter.createdAfter.getTime()))) &&
      (after === undefined || isBefore(run, after)),
  );
  const size = Math.min(pageSize === 0 ? defaultPageSize : pageSize, largestPageSize);
  const page = fitting(wanted.slice(0, size));
  const last = page.at(-1);
  const isLastPage = last === undefined || wanted.length === page.length;
  return { runs: page, nextPageToken: isLastPage ? '' : makeToken(last) };
}

/** The first of the runs, at least one. */
function fitting(runs: readonly ServedRun[]): readonly ServedRun[] {
  let bytes = 0;
  const end = runs.findIndex(({ changes = [] }, index) => {
    bytes += Buffer.byteLength(changes.join(''));
    return index > 0 && bytes > mostBytes;
  });
  return end === -1 ? runs : runs.slice(0, end);
}

type Place = Pick<ServedRun, 'startedAt' | 'runId'>;

/** Further down the list, which goes by time and then by id. */
function isBefore(run: Place, than: Place): boolean {
  return run.startedAt < than.startedAt || (run.startedAt === than.startedAt && run.runId < than.runId);
}

function makeToken({ startedAt, runId }: Place): string {
  return Buffer.from(`${startedAt} ${runId}`).toString('base64url');
}

function readToken(token: string): Place {
  const match = /^(\S+) (\S+)$/.exec(Buffer.from(token, 'base64url').toString('utf8'));
  if (match !== null) return { startedAt: match[1]!, runId: match[2]! };
  throw new UserError('invalid_page_token', 'The page token is not one of this server.', {
    hint: 'Give `next_page_token` of the former page, or nothing for the first page.',
  });
}
