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

/** Each figure by its name, and by `STAGE/NAME` where several stages measured one of that name. */
export function figuresByName(figures: MeasuredFigures): ReadonlyMap<string, MeasuredFigure> {
  const all = Object.values(figures);
  const stages = new Map<string, Set<string>>();
  for (const { stage, figure } of all) {
    stages.set(figure.name, (stages.get(figure.name) ?? new Set()).add(stage));
  }
  const isShared = (name: string) => (stages.get(name)?.size ?? 0) > 1;
  return new Map(
    all.map((one) => [isShared(one.figure.name) ? `${one.stage}/${one.figure.name}` : one.figure.name, one]),
  );
}
