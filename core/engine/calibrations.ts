import type { PluginCatalog } from '../plugin/catalog.js';
import type { CalibrationRun } from '../plugin/estimate.js';

/** The published runs that the trainers of a catalog hold their estimates against. */
export async function calibrations(
  catalog: PluginCatalog,
): Promise<readonly { readonly trainer: string; readonly runs: readonly CalibrationRun[] }[]> {
  return (await catalog.all()).flatMap(({ definition }) =>
    Object.entries(definition.trainers ?? {}).flatMap(([name, { calibration }]) =>
      calibration === undefined ? [] : [{ trainer: `${definition.name}/${name}`, runs: calibration() }],
    ),
  );
}
