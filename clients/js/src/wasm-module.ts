import { compileFile } from '#platform';

/** Where the module lies: beside this file. */
export function wasmUrl(): URL {
  return new URL('./pouw.wasm', import.meta.url);
}

/** Reads and compiles the module. */
export async function loadWasmModule(url: string | URL = wasmUrl()): Promise<WebAssembly.Module> {
  if (typeof WebAssembly !== 'object') throw new Error('there is no WebAssembly here');
  return compileFile(new URL(url, import.meta.url));
}
