import { connectionSymptoms, type Symptom } from './client-errors.ts';

/** What pg_restore's stderr means, most telling first. */
export const restoreSymptoms: readonly Symptom[] = [
  {
    pattern: /role "((?:[^"]|"")+)" does not exist/,
    code: 'role-missing',
    hint: 'Create the role $1 first, restore with --create-roles, or leave ownership and rights out with --no-owner.',
  },
  {
    pattern: /extension "([^"]+)" is not available|could not open extension control file "[^"]*\/([^"/]+)\.control"/,
    code: 'extension-missing',
    hint: 'Install the package of the extension $1$2 on the target server.',
  },
  {
    pattern: /extension "([^"]+)" has no installation script nor update path/,
    code: 'extension-missing',
    hint: 'The target server has another version of the extension $1: install the version that the source had.',
  },
  {
    pattern: /unrecognized configuration parameter "([^"]+)"/,
    code: 'target-too-old',
    hint: 'The parameter $1 is unknown to the target server: it is older than the pg_restore at work. Install the client programs of the target’s major.',
  },
  {
    pattern: /unrecognized parameter "([^"]+)"/,
    code: 'restore-failed',
    hint: 'The target server does not know $1, which the source server keeps: update the target to its newest minor, or back up again with the newest minor of the client programs.',
  },
  {
    pattern: /unsupported version \(([\d.]+)\) in file header/,
    code: 'tools-missing',
    hint: 'pg_restore is older than the pg_dump that wrote the archive: install a newer one.',
  },
  {
    pattern: /No space left on device|could not extend file|disk full/i,
    code: 'restore-failed',
    hint: 'The target server has no disk space left. Make room and restore again; nothing was kept.',
  },
  {
    pattern: /tablespace "([^"]+)" does not exist/,
    code: 'restore-failed',
    hint: 'Create the tablespace $1 on the target server, or restore with --no-tablespaces.',
  },
  {
    pattern: /permission denied to create extension "([^"]+)"/,
    code: 'target-denied',
    hint: 'Only a superuser may create the extension $1: restore as one.',
  },
  {
    pattern: /permission denied|must be owner of|must be superuser|must be able to SET ROLE|must be member of role/,
    code: 'target-denied',
    hint: 'Restore as a superuser, or leave ownership out with --no-owner.',
  },
  {
    pattern: /could not read from input file|unexpected end of file|did not find magic string|corrupt|out of order/,
    code: 'damaged',
    hint: 'The archive is not what pg_dump wrote. Use another backup.',
  },
  ...connectionSymptoms('target-unreachable', 'target-denied'),
];
