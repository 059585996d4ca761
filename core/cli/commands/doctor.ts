import type { Colors } from 'picocolors/types.js';
import { exitCodes } from '../../errors.js';
import { builtInPlugins, simmerPackage } from '../../plugin/locate.js';
import { wrapLine } from '../../wrap-text.js';
import type { Check } from '../doctor/check.js';
import {
  checkCacheFolder,
  checkCores,
  checkDuckdb,
  checkGpus,
  checkHome,
  checkMemory,
  checkNode,
  checkPython,
} from '../doctor/machine-checks.js';
import { checkEnvironments, checkPlugins } from '../doctor/plugin-checks.js';
import { type SettingFound, settingsFound } from '../doctor/settings-found.js';
import { refuseServer, serverOf } from '../open-workspace.js';
import { tableLines } from '../table.js';
import { colorsFor, columnsOf, writeJson, writeLine } from '../terminal.js';
import { catalogOf, settingsFrom, type WorkspaceFlags } from '../workspace.js';

/** `simmer doctor`: what runs need of the machine. */
export async function doctor(flags: WorkspaceFlags): Promise<number> {
  refuseServer('doctor', serverOf(flags));
  const settings = await settingsFrom(flags);
  const checks = await Promise.all([
    checkNode(),
    checkDuckdb(),
    checkPython(settings),
    checkCores(settings),
    checkMemory(settings),
    checkGpus(settings),
    checkHome(settings),
    checkCacheFolder(settings),
    checkEnvironments(settings),
    checkPlugins(catalogOf(), Object.keys(builtInPlugins())),
  ]);
  const platform = `${process.platform} ${process.arch}`;
  const found = settingsFound(settings);
  if (flags.json) await writeJson({ simmer: simmerPackage.version, platform, checks, settings: found });
  else {
    const shape = { colors: colorsFor(process.stdout), width: columnsOf(process.stdout) };
    const lines = doctorLines(checks, `simmer ${simmerPackage.version}, ${platform}`, shape);
    await writeLine([...lines, '', ...settingLines(found, shape)].join('\n'));
  }
  return checks.some((check) => check.status === 'fail') ? exitCodes.environment : exitCodes.ok;
}

interface Shape {
  readonly colors: Colors;
  readonly width: number;
}

/** The checks for people, remedies below. */
function doctorLines(checks: readonly Check[], title: string, { colors, width }: Shape): readonly string[] {
  const marks = { ok: colors.green('ok'), warn: colors.yellow('warn'), fail: colors.red('fail') };
  const remedies = checks.filter((check) => check.remedy !== undefined);
  return [
    colors.dim(title),
    ...tableLines(
      checks.map((check) => [marks[check.status], check.name, check.detail]),
      { width },
    ),
    ...(remedies.length === 0 ? [] : ['']),
    ...remedies.flatMap((check) => wrapLine(`${marks[check.status]} ${check.name}: ${check.remedy}`, width)),
  ];
}

/** The settings for people, each with what set it. */
function settingLines(found: readonly SettingFound[], { colors, width }: Shape): readonly string[] {
  const rows = found.map(({ name, value, source }) => [name, value ?? 'none', colors.dim(source)]);
  return [colors.dim('settings, and what set them'), ...tableLines(rows, { indent: '  ', width })];
}
