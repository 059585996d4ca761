import { StringDecoder } from 'node:string_decoder';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { isUserError, UserError } from '../errors.js';
import { redactedRecord } from '../events/redaction.js';
import { ErrorDetail } from '../generated/simmer/control/v1/control.js';
import { connectionError } from './connection-error.js';
import { fromErrorDetail, toErrorDetail } from './wire.js';

/** Where gRPC keeps the google.rpc.Status of a call. */
const detailsKey = 'grpc-status-details-bin';
const detailType = 'type.googleapis.com/simmer.control.v1.ErrorDetail';
const infoType = 'type.googleapis.com/google.rpc.ErrorInfo';

const codes: Readonly<Record<string, status>> = {
  unauthenticated: status.UNAUTHENTICATED,
  server_limit: status.RESOURCE_EXHAUSTED,
  run_not_found: status.NOT_FOUND,
  recipe_not_found: status.NOT_FOUND,
  row_not_found: status.NOT_FOUND,
  artifact_missing: status.NOT_FOUND,
  artifact_file_missing: status.NOT_FOUND,
  log_missing: status.NOT_FOUND,
  request_id_reused: status.ALREADY_EXISTS,
  out_of_range: status.OUT_OF_RANGE,
  run_locked: status.FAILED_PRECONDITION,
  run_abandoned: status.FAILED_PRECONDITION,
  nothing_graded: status.FAILED_PRECONDITION,
  nothing_in_common: status.FAILED_PRECONDITION,
  no_disk_space: status.RESOURCE_EXHAUSTED,
  queue_full: status.RESOURCE_EXHAUSTED,
  too_many_watchers: status.RESOURCE_EXHAUSTED,
  too_many_analyses: status.RESOURCE_EXHAUSTED,
  too_many_plans: status.RESOURCE_EXHAUSTED,
  too_many_removals: status.RESOURCE_EXHAUSTED,
  server_stopping: status.UNAVAILABLE,
};

/**
 * Clients on gRPC's C core refuse trailers of more than 8 KiB, now and then or always. The details go there in base64, beside
 * the message, of which each byte may become three.
 */
const statusBytes = 4500;
/** In bytes: a text that is quoted in an error may be of any length. */
const longestText = 480;
/** Of an error itself: it may list what there is to choose from. */
const longestHint = 1200;

/** An error as the status of a call: with its stable code in the details. A bug's stack stays on the server. */
export function toStatus(error: unknown): StatusObject {
  const record = redactedRecord(error);
  const code = statusCode(error);
  const message = cut(isUserError(error) ? record.message : `The server has a bug: ${record.message}`);
  const metadata = new Metadata();
  metadata.set(detailsKey, fittingStatus(code, message, shortened(toErrorDetail(record))));
  return { code, details: message, metadata };
}

/** With as many of the problems as fit. ValidateRecipe answers with more of them. */
function fittingStatus(code: number, message: string, detail: ErrorDetail): Buffer {
  const problems = [...detail.problems];
  let { hint } = detail;
  for (;;) {
    const encoded = ErrorDetail.encode({ ...detail, hint, problems }).finish();
    const bytes = encodeStatus(code, message, encoded, detail.code);
    if (bytes.length <= statusBytes || problems.length === 0) return bytes;
    problems.length -= Math.ceil(problems.length / 10);
    hint ??= 'These are the first of them; `simmer validate` lists all.';
  }
}

/** With each text cut short. */
function shortened(detail: ErrorDetail): ErrorDetail {
  return {
    ...detail,
    ...shortTexts(detail, longestHint),
    problems: detail.problems.map((problem) => ({
      ...problem,
      ...shortTexts(problem),
      path: problem.path === undefined ? undefined : cut(problem.path),
      position: problem.position === undefined ? undefined : { ...problem.position, file: cut(problem.position.file) },
    })),
  };
}

function shortTexts({ code, message, hint }: Pick<ErrorDetail, 'code' | 'message' | 'hint'>, hintBytes = longestText) {
  return { code: cut(code), message: cut(message), hint: hint === undefined ? undefined : cut(hint, hintBytes) };
}

/** No character is cut in half, and none was: half a one cannot be sent. */
function cut(text: string, most = longestText): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= most) return bytes.toString();
  return `${new StringDecoder('utf8').write(bytes.subarray(0, most))}…`;
}

function statusCode(error: unknown): status {
  if (!isUserError(error)) return status.INTERNAL;
  const known = codes[error.code];
  if (known !== undefined) return known;
  return error.kind === 'usage' ? status.INVALID_ARGUMENT : status.FAILED_PRECONDITION;
}

/** google.rpc.Status: code = 1, message = 2, details = 3 (google.protobuf.Any: type_url = 1, value = 2). */
function encodeStatus(code: number, message: string, detail: Uint8Array, reason: string): Buffer {
  // google.rpc.ErrorInfo: reason = 1, domain = 2.
  const info = new BinaryWriter().uint32(10).string(reason).uint32(18).string('simmer').finish();
  const writer = new BinaryWriter().uint32(8).int32(code).uint32(18).string(message);
  for (const [type, value] of [
    [infoType, info],
    [detailType, detail],
  ] as const) {
    writer.uint32(26).fork().uint32(10).string(type).uint32(18).bytes(value).join();
  }
  return Buffer.from(writer.finish());
}

/** The error of a call as the server threw it. One without our details is told as what it is: the connection's. */
export function fromServiceError(error: ServiceError, address: string): UserError {
  const detail = error.metadata?.get(detailsKey)?.[0];
  const ours = typeof detail === 'string' || detail === undefined ? undefined : decodeDetail(detail);
  // Here it is known which server that is.
  if (ours !== undefined && error.code !== status.UNAUTHENTICATED) return fromErrorDetail(ours);
  // What grpc-js makes of a connection that the other side closed while a call was under way, in order or not. Of a call that
  // is canceled here nobody asks what its error means.
  const wasCut =
    error.code === status.CANCELLED || (error.code === status.INTERNAL && error.details.includes('RST_STREAM'));
  switch (wasCut ? status.UNAVAILABLE : error.code) {
    case status.UNAUTHENTICATED:
      return new UserError('unauthenticated', `The server at ${address} does not take this token.`, {
        hint: 'Give the token of the server: SIMMER_SERVER_TOKEN, or --server-token-file FILE.',
      });
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
      return connectionError(address, error.details);
    case status.RESOURCE_EXHAUSTED:
      return new UserError('server_limit', `The server at ${address} refused the call: ${error.details}.`, {
        hint: 'Ask for less, or later.',
      });
    default:
      return new UserError('server_failed', `The server at ${address} failed: ${error.details}.`, {
        kind: 'environment',
        cause: error,
      });
  }
}

function decodeDetail(bytes: Uint8Array): ErrorDetail | undefined {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field !== 3) {
      reader.skip(type);
      continue;
    }
    const end = reader.uint32() + reader.pos;
    let url = '';
    while (reader.pos < end) {
      const [inner, innerType] = reader.tag();
      if (inner === 1) url = reader.string();
      else if (inner === 2 && url === detailType) return ErrorDetail.decode(reader.bytes());
      else reader.skip(innerType);
    }
  }
  return undefined;
}
