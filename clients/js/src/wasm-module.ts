import { compileFile } from '#platform';

/** Reads and compiles the module: at `url`, or beside this file. */
export async function loadWasmModule(url?: string | URL): Promise<WebAssembly.Module> {
  if (typeof WebAssembly !== 'object') throw new Error('this environment has no WebAssembly');
  return compileFile(url ?? new URL('./pouw.wasm', import.meta.url));
}
