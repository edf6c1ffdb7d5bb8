import { open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { escapeInterpolation } from '../config/interpolate.ts';
import { DEFAULT_CONFIG_NAME } from '../config/load.ts';
import type { Secret } from '../config/secret.ts';
import { JetbackupError, messageOf } from '../core/errors.ts';
import type { NewKeys } from './context.ts';

export const IDENTITY_FILE = 'jetbackup-identity.txt';
export const SIGNING_KEY_FILE = 'jetbackup-signing-key.pem';
export const PASSFILE = 'jetbackup.pgpass';

export interface InitFile {
  readonly name: string;
  readonly purpose: string;
  readonly secret: boolean;
  readonly content: string;
}

export interface InitChoices {
  readonly repository: string;
  readonly timeZone: string;
  readonly database: string;
  /** Without a password. */
  readonly url: string;
  readonly passfile: Secret | undefined;
  readonly createdAt: string;
}

/** The files of a new installation, in the order in which they are written: the configuration last, since it makes the folder one. */
export function initFiles(choices: InitChoices, keys: NewKeys): InitFile[] {
  const { passfile } = choices;
  return [
    {
      name: IDENTITY_FILE,
      purpose: 'the age identity: opens every backup',
      secret: true,
      // As age-keygen writes it, so that it is a file for `age -d -i` as it is.
      content: `# created: ${choices.createdAt}\n# public key: ${keys.recipient}\n${keys.identity.reveal()}\n`,
    },
    { name: SIGNING_KEY_FILE, purpose: 'the signing key: says that a backup is ours', secret: true, content: keys.signingKeyPem.reveal() },
    ...(passfile === undefined
      ? []
      : [{ name: PASSFILE, purpose: 'the database password, as a libpq password file', secret: true, content: passfile.reveal() }]),
    { name: DEFAULT_CONFIG_NAME, purpose: 'the configuration', secret: false, content: configText(choices, keys) },
  ];
}

function scalar(value: string): string {
  return JSON.stringify(escapeInterpolation(value));
}

function configText(choices: InitChoices, keys: NewKeys): string {
  const passfile = choices.passfile === undefined ? '' : `\n    passfile: ${PASSFILE}`;
  return `# jetbackup's configuration. Relative paths are relative to this file. \${NAME} and \${NAME:-default} are filled in
# from the environment. No secret belongs in here.

# Dates on the command line (restore 2026-11-20) are days of this zone.
timezone: ${choices.timeZone}

# s3://BUCKET/PREFIX?region=… or file:///DIRECTORY
repository: ${scalar(choices.repository)}

databases:
  - name: ${choices.database}
    url: ${scalar(choices.url)}${passfile}
    # Paths that are needed to bring the application back, beside its database:
    # files: [/etc/myapp/env, /opt/myapp/docker-compose.yml]

# What to keep: the newest backup of each of the last 7 days, 4 weeks and 12 months that have one, and the newest in any
# case. Nothing is deleted before \`jetbackup prune\` runs, or \`jetbackup daemon\` after a backup; \`jetbackup prune --dry-run\` shows
# what would go, and why.
retention: { preset: production-checklist }

# How old the newest backup may be, and how long a restore may take; \`jetbackup status\` holds what was measured against them.
# objectives: { rpo: 26h, rto: 1h }

# When \`jetbackup daemon\` backs up, and when it proves that a backup can be restored (\`jetbackup daemon --dry-run\`):
schedule: 0 2 * * *
verify: { schedule: 0 4 1 * * }

encryption:
  # Public keys; every backup can be opened with the identity of any one of them.
  recipients:
    - ${keys.recipient}
  # Needed to restore, not to back up: keep it off the backup host where restores run elsewhere.
  identityFile: ${IDENTITY_FILE}

signing:
  # Backups that this key did not sign are refused.
  publicKey: ${scalar(keys.signingPublicKey)}
  # Needed to back up, not to restore.
  keyFile: ${SIGNING_KEY_FILE}
`;
}

/** Throws `config-invalid` with every file that would be overwritten. */
export async function refuseExisting(directory: string, names: readonly string[]): Promise<void> {
  const found: string[] = [];
  for (const name of names) {
    const path = join(directory, name);
    const there = await stat(path).then(
      () => true,
      (error: unknown) => !(error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')),
    );
    if (there) found.push(path);
  }
  if (found.length === 0) return;
  throw new JetbackupError(
    'config-invalid',
    `init never overwrites a file, and there ${found.length === 1 ? 'is' : 'are'} already: ${found.join(', ')}`,
    {
      hint: 'This folder may be set up already: try jetbackup list. For a new installation choose another folder: jetbackup init --dir DIR',
    },
  );
}

/** Undoes what was written; nothing was encrypted with these keys yet. */
export type Undo = () => Promise<void>;

/** Writes one new file durably, at mode 0600 or 0644. Throws `config-invalid`. */
export async function writeFile(directory: string, file: InitFile, undo: Undo[]): Promise<void> {
  const path = join(directory, file.name);
  try {
    // wx: whatever came into being since refuseExisting() is not overwritten either.
    const handle = await open(path, 'wx', file.secret ? 0o600 : 0o644);
    undo.push(() => rm(path, { force: true }));
    try {
      await handle.writeFile(file.content);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw new JetbackupError('config-invalid', `${path} cannot be written: ${messageOf(cause)}`, { cause });
  }
}
