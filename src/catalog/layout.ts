import type { DatabaseName, Id } from '../core/ids.ts';
import { DatabaseNameSchema, idPattern } from '../core/ids.ts';
import type { ArtifactKind } from '../core/manifest.ts';
import type { Key } from '../storage/store.ts';

/** Where everything lies in a repository (format v1; FORMAT.md is the normative text). */
export const REPOSITORY_KEY: Key = 'jetbackup.json';
export const RECOVERY_KEY: Key = 'RECOVERY.md';
const MANIFEST_NAME = 'manifest.json';
const MARK_NAME = 'mark.json';
const PROOF_NAME = 'proof.json';
export const RUNS_PREFIX: Key = 'runs/';
export const READERS_PREFIX: Key = 'readers/';
/** What a prune is about to delete. Not below `readers/`: whoever may only leave notes there must not be able to write it. */
export const DELETING_KEY: Key = 'deleting.json';
/** What was told of what is wrong (`operations/alert-rounds.ts`), and what people said to it that was not taken in yet. */
export const ALERTS_PREFIX: Key = 'alerts/';
export const ALERT_STATE_KEY: Key = `${ALERTS_PREFIX}state.json`;
export const ACKNOWLEDGEMENTS_PREFIX: Key = `${ALERTS_PREFIX}acknowledgements/`;

export function acknowledgementKey(id: Id): Key {
  return `${ACKNOWLEDGEMENTS_PREFIX}${id}.json`;
}

export function databasePrefix(database: DatabaseName): Key {
  return `${database}/`;
}

export function backupPrefix(database: DatabaseName, id: Id): Key {
  return `${database}/${id}/`;
}

export function manifestKey(database: DatabaseName, id: Id): Key {
  return `${backupPrefix(database, id)}${MANIFEST_NAME}`;
}

/** What an operator decided about a backup afterwards (`core/mark.ts`). */
export function markKey(database: DatabaseName, id: Id): Key {
  return `${backupPrefix(database, id)}${MARK_NAME}`;
}

/** What the newest verification of a backup found (`core/proof.ts`). */
export function proofKey(database: DatabaseName, id: Id): Key {
  return `${backupPrefix(database, id)}${PROOF_NAME}`;
}

/** The newest backup whose collapse an operator has accepted. */
export function acceptanceKey(database: DatabaseName): Key {
  return `${databasePrefix(database)}accepted.json`;
}

export function runRecordKey(id: Id): Key {
  return `${RUNS_PREFIX}${id.slice(0, 4)}/${id.slice(4, 6)}/${id}.json`;
}

const stems: Record<ArtifactKind, string> = {
  dump: 'dump.pgc',
  globals: 'globals.sql',
  files: 'files.tar',
  fingerprint: 'fingerprint.json',
};

/**
 * Name of an artifact's `index`-th object (from 0) in its backup's folder. The first has no number, so that the
 * usual case reads plainly; the others sort behind it, so that `cat dump.pgc.gz.age*` joins them in order.
 */
export function objectName(kind: ArtifactKind, codecExtension: string, index: number): string {
  const name = `${stems[kind]}${codecExtension}.age`;
  return index === 0 ? name : `${name}.${String(index + 1).padStart(4, '0')}`;
}

export interface Place {
  readonly database: DatabaseName;
  readonly id: Id;
  /** File name inside the backup's folder. */
  readonly name: string;
}

/** The backup that a key belongs to, or undefined when it is not an object of a backup. */
export function placeOf(key: Key): Place | undefined {
  const [database, id, name, ...rest] = key.split('/');
  if (database === undefined || id === undefined || name === undefined || name === '' || rest.length > 0) return undefined;
  if (!idPattern.test(id) || !DatabaseNameSchema.safeParse(database).success) return undefined;
  return { database, id, name };
}

export function isManifest(place: Place): boolean {
  return place.name === MANIFEST_NAME;
}

export function isMark(place: Place): boolean {
  return place.name === MARK_NAME;
}

export function isProof(place: Place): boolean {
  return place.name === PROOF_NAME;
}

/** Written once and never again: a manifest, a run record. */
export function isUnchanging(key: Key): boolean {
  const place = placeOf(key);
  return (place !== undefined && isManifest(place)) || runOf(key) !== undefined;
}

/** The id of the run record at a key, or undefined when it is none. */
export function runOf(key: Key): Id | undefined {
  const id = /^runs\/\d{4}\/\d{2}\/([^/]+)\.json$/.exec(key)?.[1];
  return id !== undefined && idPattern.test(id) && runRecordKey(id) === key ? id : undefined;
}

/** Where those that read a database's backups leave their notes. */
export function readersPrefix(database: DatabaseName): Key {
  return `${READERS_PREFIX}${database}/`;
}

export interface ReaderPlace {
  readonly database: DatabaseName;
  /** The backup that is read. */
  readonly id: Id;
  /** Whose note it is; nobody else has the same. */
  readonly note: Id;
}

export function readerKey({ database, id, note }: ReaderPlace): Key {
  return `${readersPrefix(database)}${id}/${note}.json`;
}

/** The reader that a note at this key is of, or undefined when it is none. */
export function readerOf(key: Key): ReaderPlace | undefined {
  const [, database, id, note] = /^readers\/([^/]+)\/([^/]+)\/([^/]+)\.json$/.exec(key) ?? [];
  if (database === undefined || id === undefined || note === undefined) return undefined;
  if (!idPattern.test(id) || !idPattern.test(note) || !DatabaseNameSchema.safeParse(database).success) return undefined;
  return { database, id, note };
}
