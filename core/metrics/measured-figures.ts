import type { Event, EventData } from '../events/catalogue.js';

/** A figure, with the stage that measured it. */
export interface MeasuredFigure {
  readonly stage: string;
  readonly figure: EventData['metric.measured'];
}

/** The last measurement of each figure of each stage: the same name in two stages is two figures. */
export type MeasuredFigures = Readonly<Record<string, MeasuredFigure>>;

export function withFigure(
  figures: MeasuredFigures,
  { stage = '', data }: Extract<Event, { type: 'metric.measured' }>,
): MeasuredFigures {
  return { ...figures, [JSON.stringify([stage, data.name])]: { stage, figure: data } };
}

/** Figures by their stages' places among the stages of the run: whoever ended first, the same run reads the same. */
export function inStageOrder(figures: MeasuredFigures, stages: Iterable<string>): readonly MeasuredFigure[] {
  const places = new Map([...stages].map((stage, place) => [stage, place]));
  const placeOf = ({ stage }: MeasuredFigure) => places.get(stage) ?? places.size;
  return Object.values(figures).sort((one, other) => placeOf(one) - placeOf(other));
}

/**
 * Each figure by its name, and by `STAGE/NAME` where several stages measured one of that name.
 * @param stages of the run, in whose order they come; absent: as they were measured
 */
export function figuresByName(
  figures: MeasuredFigures,
  stages: Iterable<string> = [],
): ReadonlyMap<string, MeasuredFigure> {
  const all = inStageOrder(figures, stages);
  const measuring = new Map<string, Set<string>>();
  for (const { stage, figure } of all) {
    measuring.set(figure.name, (measuring.get(figure.name) ?? new Set()).add(stage));
  }
  const isShared = (name: string) => (measuring.get(name)?.size ?? 0) > 1;
  return new Map(
    all.map((one) => [isShared(one.figure.name) ? `${one.stage}/${one.figure.name}` : one.figure.name, one]),
  );
}
