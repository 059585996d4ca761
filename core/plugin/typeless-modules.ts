let isExpected = false;

/**
 * Keeps Node from warning that it took a module for an ES module whose package.json does not say so. A plugin is one by
 * what it has to export, and the package.json is often one that `npm install` made beside a recipe. Every other warning
 * is shown. Once for each thread; called again it does nothing.
 */
export function expectTypelessModules(): void {
  if (isExpected) return;
  isExpected = true;
  const { emitWarning } = process;
  process.emitWarning = (...told: readonly unknown[]) => {
    if (codeOf(told[1], told[2]) !== 'MODULE_TYPELESS_PACKAGE_JSON') Reflect.apply(emitWarning, process, told);
  };
}

/** Of the forms that `process.emitWarning` takes: (warning, {code}) and (warning, type, code). */
function codeOf(options: unknown, code: unknown): unknown {
  return typeof options === 'object' && options !== null ? (options as { readonly code?: unknown }).code : code;
}
