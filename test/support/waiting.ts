/** Waits until something is so, and fails saying what it waited for. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const begun = performance.now();
    if (await holds()) return;
    const now = performance.now();
    if (now > end) throw new Error(`waited ${timeoutMs / 1000} s in vain until ${what}`);
    // A look that takes long is work for the machine, which is to be left to what is waited for.
    await new Promise((resolve) => setTimeout(resolve, Math.min(Math.max(20, 3 * (now - begun)), 250)));
  }
}
