import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** One database, and a password in its URL. */
export const withPassword = `
repository: s3://backups
databases:
  - { name: shop, url: "postgres://app:hunter2secret@db/shop" }
prune: { schedule: "off" }
`;

/** The path of a configuration with this text, which is gone when the test is over. */
export function configured(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'jetbackup-daemon-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'jetbackup.yaml');
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

export const hang = () => new Promise<never>(() => {});
