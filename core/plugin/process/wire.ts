import type { Artifact, ArtifactType, Columns, TableArtifact } from '../../artifacts/artifact.js';
import { UserError } from '../../errors.js';
import type { EventData } from '../../events/catalogue.js';
import type { Grade as GradeMessage } from '../../generated/simmer/grader/v1/grader.js';
import {
  type Artifact as ArtifactMessage,
  ArtifactType as ArtifactTypeCode,
  type Column,
} from '../../generated/simmer/plugin/v1/artifact.js';
import { LogLevel, type StageEvent as StageEventMessage } from '../../generated/simmer/plugin/v1/event.js';
import type { Grade } from '../../trainer/trainer.js';
import { verdicts } from '../../trainer/wire-enums.js';
import { wireNames } from '../../wire-names.js';
import type { StageEvent } from '../definitions.js';

const artifactTypes = wireNames<ArtifactType, ArtifactTypeCode>({
  dataset: ArtifactTypeCode.ARTIFACT_TYPE_DATASET,
  model: ArtifactTypeCode.ARTIFACT_TYPE_MODEL,
  generations: ArtifactTypeCode.ARTIFACT_TYPE_GENERATIONS,
  report: ArtifactTypeCode.ARTIFACT_TYPE_REPORT,
});

const logLevels = wireNames<EventData['log.written']['level'], LogLevel>({
  debug: LogLevel.LOG_LEVEL_DEBUG,
  info: LogLevel.LOG_LEVEL_INFO,
  warning: LogLevel.LOG_LEVEL_WARNING,
  error: LogLevel.LOG_LEVEL_ERROR,
});

/** Undefined for a type that this version does not know. */
export const toArtifactType = artifactTypes.name;

export function fromArtifact(artifact: Artifact | TableArtifact): ArtifactMessage {
  const isTable = 'rowCount' in artifact;
  return {
    uri: artifact.uri,
    type: artifactTypes.code(artifact.type),
    folder: artifact.folder,
    files: artifact.files.map(({ path, size, sha256 }) => ({ path, size: BigInt(size), sha256 })),
    metadata: plainJson(artifact.metadata),
    columns: isTable ? Object.entries(artifact.columns).map(([name, type]) => ({ name, type })) : [],
    rowCount: isTable ? BigInt(artifact.rowCount) : undefined,
  };
}

export function toColumns(columns: readonly Column[]): Columns {
  return Object.fromEntries(columns.map(({ name, type }) => [name, type]));
}

/** What goes into a google.protobuf.Struct: JSON and nothing else. */
export function plainJson(value: unknown): { [key: string]: unknown } {
  return JSON.parse(JSON.stringify(value ?? {})) as { [key: string]: unknown };
}

/** What a stage says, as one of its own. @throws UserError `plugin_event_invalid` */
export function toStageEvent({ event }: StageEventMessage): StageEvent {
  switch (event?.$case) {
    case 'stageProgressed': {
      const { done, total, unit, secondsLeft, figures } = event.value;
      return {
        type: 'stage.progressed',
        data: {
          done: Number(done),
          total: total === undefined ? null : Number(total),
          unit,
          ...(secondsLeft === undefined ? {} : { secondsLeft: finite('seconds_left', secondsLeft) }),
          ...(Object.keys(figures).length === 0 ? {} : { figures: onlyFinite(figures) }),
        },
      };
    }
    case 'funnelCounted': {
      const { step, rowsIn, rowsOut, dropped } = event.value;
      const counts = Object.entries(dropped).map(([rule, count]) => [rule, Number(count)] as const);
      return {
        type: 'funnel.counted',
        data: { step, rowsIn: Number(rowsIn), rowsOut: Number(rowsOut), dropped: Object.fromEntries(counts) },
      };
    }
    case 'metricMeasured': {
      const { name, value, interval, count, unit, labels } = event.value;
      return {
        type: 'metric.measured',
        data: {
          name,
          value: finite(name, value),
          ...(interval === undefined ? {} : { interval: [finite(name, interval.low), finite(name, interval.high)] }),
          ...(count === undefined ? {} : { count: Number(count) }),
          ...(unit === undefined ? {} : { unit }),
          ...(labels === undefined || Object.keys(labels).length === 0 ? {} : { labels: textsAndNumbers(labels) }),
        },
      };
    }
    case 'logWritten':
      return {
        type: 'log.written',
        data: { level: logLevels.name(event.value.level) ?? 'info', source: 'stage', message: event.value.message },
      };
    case undefined:
      throw new UserError('plugin_event_invalid', 'It sent an event that says nothing.', {
        kind: 'runFailed',
        hint: 'It may be written for a newer Simmer: an event of a kind that this one does not know looks like that.',
      });
  }
}

export function fromGrade({ verdict, ...grade }: Grade): GradeMessage {
  return { ...grade, verdict: verdicts.code(verdict) };
}

export function toGrade({ verdict, ...grade }: GradeMessage): Grade {
  return { ...grade, verdict: verdicts.name(verdict) ?? 'unparsed' };
}

function finite(what: string, value: number): number {
  if (Number.isFinite(value)) return value;
  throw new UserError('plugin_event_invalid', `It said that ${what} is ${value}; a figure must be finite.`, {
    kind: 'runFailed',
  });
}

function onlyFinite(figures: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(figures).filter(([, value]) => Number.isFinite(value)));
}

function textsAndNumbers(labels: Readonly<Record<string, unknown>>): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(labels).map(([name, value]) => [name, typeof value === 'number' ? value : String(value)]),
  );
}
