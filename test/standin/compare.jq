# compare.jq: what in openapi.json contradicts Stripe's own description of its API, one line each.
#
#   jq -rn --slurpfile ours openapi.json --slurpfile theirs FILE -f compare.jq
#
# FILE is an OpenAPI document of Stripe's, or a part of one. Ours may be narrower: fewer
# operations, parameters, fields and choices, shorter texts. It must never be wider.

def resolved($document):
	if type == "object" and has("$ref")
	then .["$ref"] as $reference
		| $document | getpath($reference | ltrimstr("#/") | split("/")) | resolved($document)
	else . end;

# A choice of one is no choice.
def plain($document):
	resolved($document)
	| if (.anyOf | length) == 1
	then (del(.anyOf) + (.anyOf[0] | plain($document))) + {nullable: (.nullable // false)}
	else . end;

def types: if .type then .type elif .properties then "object" else "any" end;

# The schema of this name that both have is compared once, on its own.
def reference: if type != "object" then null else .["$ref"] // ((.anyOf // []) | if length == 1 then .[0]["$ref"] else null end) end;

# contradictions(OUR SCHEMA; WHERE): the input is theirs.
def contradictions($our; $where; $depth):
	reference as $name
	| plain($theirs[0]) as $t | ($our | plain($ours[0])) as $o
	| if $depth == 0 or ($name and $name == ($our | reference)) then empty
	elif $o.anyOf then
		$o.anyOf[] as $choice | $t | contradictions($choice; $where; $depth - 1)
	elif $t.anyOf then
		[$t.anyOf[] | [contradictions($o; $where; $depth - 1)]] as $each
		| if any($each[]; length == 0) then empty else ($each | min_by(length))[] end
	else
		(if ($o | types) != ($t | types) and ($t["x-trimmed"] | not)
			then "\($where): is \($t | types), ours \($o | types)" else empty end),
		(if ($o.nullable // false) and ($t.nullable // false | not)
			then "\($where): is never null" else empty end),
		(if $o.enum and $t.enum and ($o.enum - $t.enum) != []
			then "\($where): has no choice \($o.enum - $t.enum)" else empty end),
		(if $t.enum and ($o.enum | not)
			then "\($where): has the choices \($t.enum)" else empty end),
		(if $o.maxLength and $t.maxLength and $o.maxLength > $t.maxLength
			then "\($where): is at most \($t.maxLength) long" else empty end),
		(if $o["x-expandable"] and ($t["x-expandable"] // [] | index($o["x-expandable"][0])) == null
			then "\($where): does not expand to \($o["x-expandable"][0])" else empty end),
		(($t.required // []) - ($o.required // []) - (($t.properties // {} | keys) - ($o.properties // {} | keys))
			| map(select($where | startswith("asked"))) | .[] | "\($where).\(.): is required"),
		(if $t["x-trimmed"] or ($t.properties | not) then empty else
			($o.properties // {} | keys_unsorted[]) as $name
			| "\($where).\($name)" as $at
			| if $t.properties[$name] then
				$t.properties[$name] | contradictions($o.properties[$name]; $at; $depth - 1)
			elif $o.properties[$name]["x-newer"] then empty
			else "\($at): is unknown" end
		end),
		(if $o.items and $t.items then
			$t.items | contradictions($o.items; "\($where)[]"; $depth - 1) else empty end)
	end;

def body: .content | (.["application/x-www-form-urlencoded"] // .["application/json"]) | .schema;

def operations($document):
	$document.paths | to_entries[] | .key as $path | .value | to_entries[]
	| {path: $path, method: .key, operation: .value};

def parameter($document; $name; $in):
	[(.parameters // [])[] | resolved($document) | select(.name == $name and .in == $in)][0];

(operations($ours[0])
	| . as {$path, $method, $operation}
	| $theirs[0].paths[$path][$method] as $their
	| "\($method) \($path)" as $where
	| if $their == null then "\($where): is unknown" else
		(($operation.parameters // [])[]
			| resolved($ours[0]) as $parameter
			| "asked \($where) \($parameter.name)" as $at
			| ($their | parameter($theirs[0]; $parameter.name; $parameter.in))
			| if . == null then "\($at): is unknown"
			else .schema | contradictions($parameter.schema; $at; 4) end),
		($operation.requestBody // empty | body as $asked
			| $their.requestBody | body | contradictions($asked; "asked \($where)"; 8)),
		($operation.responses | keys[] as $status
			| (.[$status] | resolved($ours[0]) | body) as $answered
			| $their.responses[$status] | resolved($theirs[0]) | body
			| contradictions($answered; "answered \($where) \($status)"; 4))
	end),
($ours[0].components.schemas | keys[] as $name
	| .[$name] as $our
	| $theirs[0].components.schemas[$name] // empty
	| contradictions($our; $name; 6))
