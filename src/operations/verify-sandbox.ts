import { isJetbackupError, JetbackupError, messageOf } from '../core/errors.ts';
import { type Manifest, majorOf } from '../core/manifest.ts';
import type { LoadedGlobals } from '../postgres/globals-load.ts';
import type { Sandbox } from '../verify/sandbox.ts';
import type { Restorer } from './restorer.ts';
import { asUnverified } from './verify-attribution.ts';
import type { VerifyDeps, VerifyInput } from './verify-deps.ts';
import type { Found, Recorder } from './verify-record.ts';

/** Tools and prerequisites, before anything is loaded. What the sandbox lacks is never the backup's fault. */
export async function prepare(
  deps: VerifyDeps,
  input: VerifyInput,
  manifest: Manifest,
  sandbox: Sandbox,
  found: Found,
  signal: AbortSignal,
): Promise<{ tools: Awaited<ReturnType<Restorer['findTools']>> }> {
  const { restorer } = deps;
  try {
    if (!sandbox.isOurs) await restorer.sweepStaging(sandbox.settings, signal).catch(() => []);
    const state = await restorer.inspectTarget(sandbox.settings, signal);
    const { kind, description, profile } = sandbox;
    found.sandbox = { kind, description, versionNum: state.server.versionNum, profile };
    // Roles are made next, and looked at by a check of their own.
    const withRoles = { ...state, roles: new Set([...state.roles, ...manifest.source.roles]) };
    const problems = restorer.missingPrerequisites(manifest.source, manifest.server, withRoles, { noOwner: false, noTablespaces: true });
    if (problems.length > 0) {
      throw new JetbackupError(
        'unverified',
        `the sandbox (${description}) cannot take this backup: ${problems.map(({ message }) => message).join('; ')}`,
        {
          hint: [...new Set(problems.map(({ hint }) => hint)), imageHint(sandbox)].join(' '),
        },
      );
    }
    const directory = input.bindir === undefined ? {} : { directory: input.bindir };
    const wanted = {
      serverVersionNum: state.server.versionNum,
      purpose: 'restore' as const,
      dumpedBy: manifest.tools.pgDump,
      ...directory,
    };
    return { tools: await restorer.findTools(deps, wanted, signal) };
  } catch (error) {
    signal.throwIfAborted();
    throw await asUnverified(error, sandbox, signal);
  }
}

function imageHint({ kind }: Sandbox): string {
  if (kind === 'container') return 'Name an image that has it: verify.image (JETBACKUP_SANDBOX_IMAGE).';
  return kind === 'local' ? 'Or verify in a container: --sandbox container.' : 'Or verify on another server, or in a container.';
}

export interface Roles {
  readonly globals: LoadedGlobals | undefined;
  readonly noOwner: boolean;
}

/** Roles from the globals on a server of our own; on another one only what it has. */
export async function makeRoles(
  deps: VerifyDeps,
  { sandbox, manifest, globals: sql }: { readonly sandbox: Sandbox; readonly manifest: Manifest; readonly globals: string | undefined },
  record: Recorder,
  signal: AbortSignal,
): Promise<Roles> {
  const { restorer } = deps;
  const look = async () => {
    const { roles, isSuperuser, server } = await restorer.inspectTarget(sandbox.settings, signal);
    return { gone: manifest.source.roles.filter((role) => !roles.has(role)), isSuperuser, versionNum: server.versionNum };
  };
  if (!sandbox.isOurs) {
    const { gone, isSuperuser } = await look();
    // Nobody else may give away what he made, not even to a role that is there.
    const noOwner = gone.length > 0 || !isSuperuser;
    const why = gone.length > 0 ? 'the server lacks some roles' : 'its user is no superuser';
    const how = noOwner ? `${why}: everything belongs to that user` : 'the server has the roles of its own';
    record.add('roles', { status: 'skip', message: `roles are not made on a server that is not ours; ${how}` });
    return { globals: undefined, noOwner };
  }
  const started = deps.clock.monotonicMs();
  const loaded = sql === undefined ? undefined : await restorer.loadGlobals(sandbox.settings, sql, signal);
  const { gone, versionNum } = await look();
  const sameMajor = Math.floor(versionNum / 10_000) === majorOf(manifest.server);
  // Rules of who may grant what change from major to major.
  const wrong = sameMajor ? (loaded?.failures ?? []).filter(({ isOfTheServer }) => !isOfTheServer) : [];
  // So that the rest can be looked at all the same.
  if (gone.length > 0) await restorer.createRoles(sandbox.settings, gone, signal);
  const ms = deps.clock.monotonicMs() - started;
  if (loaded === undefined) {
    record.add('roles', { status: 'skip', message: 'the backup holds no globals' }, ms);
  } else if (gone.length > 0 || wrong.length > 0) {
    record.add(
      'roles',
      {
        status: 'fail',
        message: `${gone.length} roles that the database needs are not in the globals, and ${wrong.length} statements of the globals failed`,
        findings: [
          ...gone.map((role) => `the role "${role}" owns objects or has rights, and the globals do not make it`),
          ...loaded.failures.map(({ statement, message }) => `${statement}: ${message}`),
        ],
        hint: 'The backup user must be allowed to read all roles (pg_dumpall --globals-only); see the warnings of the backup: jetbackup show ID',
      },
      ms,
    );
  } else {
    const more = loaded.leftOut === 0 ? '' : `; ${loaded.leftOut} statements about tablespaces left out`;
    const by = sameMajor ? 'by a server that lacks what they name' : 'by another major version';
    const refused = loaded.failures.length === 0 ? '' : `; ${loaded.failures.length} statements refused ${by}`;
    const findings = loaded.failures.map(({ statement, message }) => `${statement}: ${message}`);
    record.add('roles', { status: 'pass', message: `${loaded.roles} roles made from the globals${more}${refused}`, findings }, ms);
  }
  return { globals: loaded, noOwner: false };
}

/** What cannot be removed is told, and changes nothing about what was found. */
export async function dispose(deps: VerifyDeps, sandbox: Sandbox): Promise<void> {
  try {
    await sandbox[Symbol.asyncDispose]();
  } catch (error) {
    tellLeftover(deps, error);
  }
}

export function tellLeftover({ log }: VerifyDeps, error: unknown): void {
  const hint = isJetbackupError(error) && error.hint !== undefined ? { hint: error.hint } : {};
  log({ type: 'warning', text: `something of the sandbox is left: ${messageOf(error)}`, ...hint });
}
