/** The passwords that stand in a URL or a libpq keyword string, as written and decoded; for redaction only. */
export function passwordsIn(text: string): string[] {
  const found = new Set<string>();
  const add = (value: string | undefined): void => {
    if (value === undefined || value === '') return;
    found.add(value);
    try {
      found.add(decodeURIComponent(value));
    } catch {
      // A stray % is the parser's complaint; here the text as written is enough.
    }
  };
  // Greedy up to the last @ before the query: passwords with an unescaped @ or / exist.
  add(/^[a-z][a-z0-9+.-]*:\/\/[^:@/]*:([^?]*)@/i.exec(text)?.[1]);
  for (const match of text.matchAll(/(?:^|[?&\s])(?:ssl)?(?:password|secret[a-z_-]*)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|([^\s&']+))/gi)) {
    add(match[1]?.replaceAll(/\\(.)/g, '$1') ?? match[2]);
  }
  return [...found];
}
