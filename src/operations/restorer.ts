import { takeFingerprint } from '../postgres/fingerprint.ts';
import { loadGlobals } from '../postgres/globals-load.ts';
import { measureDatabase } from '../postgres/measure.ts';
import {
  analyzeDatabase,
  createRoles,
  createStagingDatabase,
  inspectTarget,
  missingPrerequisites,
  restoreArchive,
  sweepStaging,
} from '../postgres/restore.ts';
import { findTools } from '../postgres/tools.ts';

/** What a verification does to a server: the adapters of postgres/. */
export interface Restorer {
  readonly findTools: typeof findTools;
  readonly inspectTarget: typeof inspectTarget;
  readonly missingPrerequisites: typeof missingPrerequisites;
  readonly loadGlobals: typeof loadGlobals;
  readonly createRoles: typeof createRoles;
  readonly sweepStaging: typeof sweepStaging;
  readonly createStagingDatabase: typeof createStagingDatabase;
  readonly restoreArchive: typeof restoreArchive;
  readonly analyzeDatabase: typeof analyzeDatabase;
  readonly takeFingerprint: typeof takeFingerprint;
  readonly measureDatabase: typeof measureDatabase;
}

export const postgresRestorer: Restorer = {
  findTools,
  inspectTarget,
  missingPrerequisites,
  loadGlobals,
  createRoles,
  sweepStaging,
  createStagingDatabase,
  restoreArchive,
  analyzeDatabase,
  takeFingerprint,
  measureDatabase,
};
