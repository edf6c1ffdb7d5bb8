import {
  collationName,
  entry,
  functionName,
  type InventoryQuery,
  ident,
  notOfExtension,
  operatorName,
  qualified,
  typeName,
  userSchema,
} from './inventory-sql.ts';

const schemaOf = (column: string) => `JOIN pg_namespace n ON n.oid = ${column} AND ${userSchema('n.nspname')}`;
const list = (query: string) => `(SELECT string_agg(item, ',' ORDER BY item COLLATE "C") FROM (${query}) AS items(item))`;
// Objects that initdb made have OIDs below this one.
const made = (oid: string) => `${oid} >= 16384`;

/** Functions, types, operators, collations, text search: what tables are made of. */
export function routineQueries(major: number): InventoryQuery[] {
  const aggregate = (column: string) => `(SELECT ${column} FROM pg_aggregate g WHERE g.aggfnoid = p.oid)`;
  const functions = entry({
    kind: `CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END`,
    identity: functionName('p.oid'),
    fixed: [
      'p.prokind',
      '(SELECT lanname FROM pg_language l WHERE l.oid = p.prolang)',
      'p.prosrc',
      'p.probin',
      'format_type(p.prorettype, NULL)',
      'p.proretset',
      'p.provolatile',
      'p.proisstrict',
      'p.prosecdef',
      'p.proleakproof',
      'p.proparallel',
      'p.procost',
      'p.prorows',
      `array_to_string(p.proconfig, ',')`,
      `CASE WHEN p.prosupport <> 0 THEN ${functionName('p.prosupport')} END`,
      `array_to_string(p.proargnames, ',')`,
      `array_to_string(p.proargmodes, ',')`,
      `(SELECT string_agg(format_type(a, NULL), ',') FROM unnest(p.protrftypes) AS a)`,
      ...[
        'g.aggkind',
        functionName('g.aggtransfn'),
        functionName('g.aggfinalfn'),
        functionName('g.aggcombinefn'),
        functionName('g.aggserialfn'),
        functionName('g.aggmtransfn'),
        functionName('g.aggminvtransfn'),
        functionName('g.aggmfinalfn'),
        'g.aggfinalmodify',
        'g.aggnumdirectargs',
        operatorName('g.aggsortop'),
        'format_type(g.aggtranstype, NULL)',
        'g.agginitval',
        'g.aggminitval',
      ].map(aggregate),
    ],
    deparsed: ['pg_get_function_arguments(p.oid)', 'pg_get_function_sqlbody(p.oid)'],
    owner: 'p.proowner',
    acl: 'p.proacl',
    aclType: `'f'::"char"`,
    from: `FROM pg_proc p ${schemaOf('p.pronamespace')} WHERE ${notOfExtension('pg_proc', 'p.oid')}
      AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid AND i.deptype = 'i')`,
  });
  const operators = entry({
    kind: `'operator'`,
    identity: operatorName('o.oid'),
    fixed: [
      functionName('o.oprcode'),
      'format_type(nullif(o.oprresult, 0), NULL)',
      operatorName('o.oprcom'),
      operatorName('o.oprnegate'),
      functionName('o.oprrest'),
      functionName('o.oprjoin'),
      'o.oprcanmerge',
      'o.oprcanhash',
    ],
    owner: 'o.oprowner',
    from: `FROM pg_operator o ${schemaOf('o.oprnamespace')} WHERE o.oprcode <> 0 AND ${notOfExtension('pg_operator', 'o.oid')}`,
  });
  const using = (method: string) => `(SELECT ' using ' || amname FROM pg_am m WHERE m.oid = ${method})`;
  const family = `(SELECT ${qualified('fn.nspname', 'f.opfname')} FROM pg_opfamily f JOIN pg_namespace fn ON fn.oid = f.opfnamespace WHERE f.oid = k.opcfamily)`;
  const classes = entry({
    kind: `'operator class'`,
    identity: `${qualified('n.nspname', 'k.opcname')} || ${using('k.opcmethod')}`,
    fixed: [family, 'format_type(k.opcintype, NULL)', 'format_type(nullif(k.opckeytype, 0), NULL)', 'k.opcdefault'],
    owner: 'k.opcowner',
    from: `FROM pg_opclass k ${schemaOf('k.opcnamespace')} WHERE ${notOfExtension('pg_opclass', 'k.oid')}`,
  });
  const families = entry({
    kind: `'operator family'`,
    identity: `${qualified('n.nspname', 'f.opfname')} || ${using('f.opfmethod')}`,
    fixed: [
      list(`SELECT amopstrategy::text || amoppurpose::text || ${operatorName('amopopr')} FROM pg_amop WHERE amopfamily = f.oid`),
      list(
        `SELECT amprocnum || ' ' || format_type(amproclefttype, NULL) || ' ' || format_type(amprocrighttype, NULL) || ' ' || ${functionName('amproc')} FROM pg_amproc WHERE amprocfamily = f.oid`,
      ),
    ],
    owner: 'f.opfowner',
    from: `FROM pg_opfamily f ${schemaOf('f.opfnamespace')} WHERE ${notOfExtension('pg_opfamily', 'f.oid')}`,
  });
  const casts = entry({
    kind: `'cast'`,
    identity: `format_type(c.castsource, NULL) || ' AS ' || format_type(c.casttarget, NULL)`,
    fixed: [functionName('c.castfunc'), 'c.castcontext', 'c.castmethod'],
    // A range brings the cast to its multirange along.
    from: `FROM pg_cast c WHERE ${made('c.oid')} AND ${notOfExtension('pg_cast', 'c.oid')}
      AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_cast'::regclass AND i.objid = c.oid AND i.deptype = 'i')`,
  });
  const labels = `(SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid)`;
  const ofRange = (column: string) => `(SELECT ${column} FROM pg_range r WHERE r.rngtypid = t.oid)`;
  const ofBase = (column: string) => `CASE WHEN t.typtype = 'b' THEN ${column} END`;
  const types = entry({
    kind: `CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END`,
    identity: typeName('t.oid'),
    fixed: [
      't.typtype',
      't.typisdefined',
      labels,
      `CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END`,
      `CASE WHEN t.typtype = 'd' AND t.typcollation <> (SELECT b.typcollation FROM pg_type b WHERE b.oid = t.typbasetype) THEN ${collationName('t.typcollation')} END`,
      't.typnotnull',
      ofRange('format_type(r.rngsubtype, NULL)'),
      ofRange(collationName('r.rngcollation')),
      ofRange(
        `(SELECT ${qualified('kn.nspname', 'k.opcname')} FROM pg_opclass k JOIN pg_namespace kn ON kn.oid = k.opcnamespace WHERE k.oid = r.rngsubopc)`,
      ),
      ofRange(functionName('r.rngcanonical')),
      ofRange(functionName('r.rngsubdiff')),
      ofRange(typeName('r.rngmultitypid')),
      ofBase(functionName('t.typinput')),
      ofBase(functionName('t.typoutput')),
      ofBase(functionName('t.typreceive')),
      ofBase(functionName('t.typsend')),
      ofBase(functionName('t.typmodin')),
      ofBase(functionName('t.typanalyze')),
      ofBase('t.typlen'),
      ofBase('t.typbyval'),
      ofBase('t.typalign'),
      ofBase('t.typstorage'),
      ofBase('t.typcategory'),
      ofBase('t.typispreferred'),
      ofBase('t.typdelim'),
      ofBase('format_type(nullif(t.typelem, 0), NULL)'),
    ],
    deparsed: ['t.typdefault'],
    owner: 't.typowner',
    acl: 't.typacl',
    aclType: `'T'::"char"`,
    from: `FROM pg_type t ${schemaOf('t.typnamespace')}
      WHERE t.typtype IN ('b', 'd', 'e', 'r', 'p') AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid) AND ${notOfExtension('pg_type', 't.oid')}`,
  });
  const domainConstraints = entry({
    kind: `CASE o.contype WHEN 'n' THEN 'not-null constraint' ELSE 'constraint' END`,
    identity: `${ident('o.conname')} || ' on domain ' || ${typeName('t.oid')}`,
    fixed: ['o.contype', 'o.convalidated'],
    deparsed: ['pg_get_constraintdef(o.oid)'],
    from: `FROM pg_constraint o JOIN pg_type t ON t.oid = o.contypid ${schemaOf('t.typnamespace')} WHERE ${notOfExtension('pg_type', 't.oid')}`,
  });
  // Up to 14 the locale of an ICU collation stood in collcollate; 17 gave the column its new name.
  const locale = major >= 17 ? 'c.colllocale' : major >= 15 ? 'c.colliculocale' : `CASE WHEN c.collprovider = 'i' THEN c.collcollate END`;
  const collations = entry({
    kind: `'collation'`,
    identity: qualified('n.nspname', 'c.collname'),
    fixed: [
      'c.collprovider',
      'c.collisdeterministic',
      'c.collencoding',
      `CASE WHEN c.collprovider = 'c' THEN c.collcollate END`,
      `CASE WHEN c.collprovider = 'c' THEN c.collctype END`,
      `CASE WHEN c.collprovider <> 'c' THEN ${locale} END`,
      major >= 16 ? 'c.collicurules' : 'NULL',
    ],
    owner: 'c.collowner',
    from: `FROM pg_collation c ${schemaOf('c.collnamespace')} WHERE ${notOfExtension('pg_collation', 'c.oid')}`,
  });
  const conversions = entry({
    kind: `'conversion'`,
    identity: qualified('n.nspname', 'c.conname'),
    fixed: ['pg_encoding_to_char(c.conforencoding)', 'pg_encoding_to_char(c.contoencoding)', functionName('c.conproc'), 'c.condefault'],
    owner: 'c.conowner',
    from: `FROM pg_conversion c ${schemaOf('c.connamespace')} WHERE ${notOfExtension('pg_conversion', 'c.oid')}`,
  });
  const searchName = (oid: string) =>
    `(SELECT ${qualified('dn.nspname', 'd.dictname')} FROM pg_ts_dict d JOIN pg_namespace dn ON dn.oid = d.dictnamespace WHERE d.oid = ${oid})`;
  const configurations = entry({
    kind: `'text search configuration'`,
    identity: qualified('n.nspname', 'c.cfgname'),
    fixed: [
      `(SELECT ${qualified('pn.nspname', 'p.prsname')} FROM pg_ts_parser p JOIN pg_namespace pn ON pn.oid = p.prsnamespace WHERE p.oid = c.cfgparser)`,
      `(SELECT string_agg(m.maptokentype || ':' || ${searchName('m.mapdict')}, ',' ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = c.oid)`,
    ],
    owner: 'c.cfgowner',
    from: `FROM pg_ts_config c ${schemaOf('c.cfgnamespace')} WHERE ${notOfExtension('pg_ts_config', 'c.oid')}`,
  });
  const dictionaries = entry({
    kind: `'text search dictionary'`,
    identity: qualified('n.nspname', 'd.dictname'),
    fixed: [
      `(SELECT ${qualified('tn.nspname', 't.tmplname')} FROM pg_ts_template t JOIN pg_namespace tn ON tn.oid = t.tmplnamespace WHERE t.oid = d.dicttemplate)`,
      'd.dictinitoption',
    ],
    owner: 'd.dictowner',
    from: `FROM pg_ts_dict d ${schemaOf('d.dictnamespace')} WHERE ${notOfExtension('pg_ts_dict', 'd.oid')}`,
  });
  const templates = entry({
    kind: `'text search template'`,
    identity: qualified('n.nspname', 't.tmplname'),
    fixed: [functionName('t.tmplinit'), functionName('t.tmpllexize')],
    from: `FROM pg_ts_template t ${schemaOf('t.tmplnamespace')} WHERE ${notOfExtension('pg_ts_template', 't.oid')}`,
  });
  const parsers = entry({
    kind: `'text search parser'`,
    identity: qualified('n.nspname', 'p.prsname'),
    fixed: ['p.prsstart', 'p.prstoken', 'p.prsend', 'p.prsheadline', 'p.prslextype'].map(functionName),
    from: `FROM pg_ts_parser p ${schemaOf('p.prsnamespace')} WHERE ${notOfExtension('pg_ts_parser', 'p.oid')}`,
  });
  const methods = entry({
    kind: `'access method'`,
    identity: ident('a.amname'),
    fixed: ['a.amtype', functionName('a.amhandler')],
    from: `FROM pg_am a WHERE ${made('a.oid')} AND ${notOfExtension('pg_am', 'a.oid')}`,
  });
  const transforms = entry({
    kind: `'transform'`,
    identity: `format_type(t.trftype, NULL) || ' language ' || (SELECT ${ident('l.lanname')} FROM pg_language l WHERE l.oid = t.trflang)`,
    fixed: [functionName('t.trffromsql'), functionName('t.trftosql')],
    from: `FROM pg_transform t WHERE ${notOfExtension('pg_transform', 't.oid')}`,
  });
  const languages = entry({
    kind: `'language'`,
    identity: ident('l.lanname'),
    fixed: ['l.lanpltrusted', functionName('l.lanplcallfoid'), functionName('l.laninline'), functionName('l.lanvalidator')],
    owner: 'l.lanowner',
    acl: 'l.lanacl',
    aclType: `'l'::"char"`,
    from: `FROM pg_language l WHERE ${made('l.oid')} AND ${notOfExtension('pg_language', 'l.oid')}`,
  });
  return [
    functions,
    operators,
    classes,
    families,
    casts,
    types,
    domainConstraints,
    collations,
    conversions,
    configurations,
    dictionaries,
    templates,
    parsers,
    methods,
    transforms,
    languages,
  ].map((sql) => ({ sql }));
}
