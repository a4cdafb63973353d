/** All layers with their strongest maps, from the picture to the scores; blocks unfold. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { getMap, isExported, type Net, type NodeRecord, type PassRecord } from "./api";
import { Channel } from "./Canvas";
import { scaleOf } from "./colours";
import { useAnswer } from "./hooks";
import { short } from "./numbers";
import { layoutOf } from "./shapes";

interface Props {
  net: Net;
  run: PassRecord;
  id: string;
  drawn: string;
  layer: string;
  channel: number;
  onChoose: (layer: string, channel: number) => void;
}

interface Group {
  name: string;
  nodes: NodeRecord[];
}

export function groupsOf(nodes: NodeRecord[]): Group[] {
  const groups: Group[] = [];
  for (const node of nodes) {
    const last = groups[groups.length - 1];
    if (node.group && last?.name === node.group) last.nodes.push(node);
    else groups.push({ name: node.group, nodes: [node] });
  }
  return groups;
}

export function Strip(props: Props) {
  const groups = useMemo(() => groupsOf(props.net.nodes), [props.net]);
  return (
    <ol class="strip" aria-label="Layers, from the picture to the scores">
      {groups.map((group) =>
        group.name ? (
          <li key={group.nodes[0].name}>
            <details open={group.nodes.some((node) => node.name === props.layer) || undefined}>
              <summary>
                <b>{group.name}</b> <span class="soft">block of {group.nodes.length}</span>
              </summary>
              <ol>
                {group.nodes.map((node) => (
                  <Row key={node.name} node={node} {...props} />
                ))}
              </ol>
            </details>
          </li>
        ) : (
          <Row key={group.nodes[0].name} node={group.nodes[0]} {...props} />
        ),
      )}
    </ol>
  );
}

function Row({ node, ...props }: Props & { node: NodeRecord }) {
  const row = useRef<HTMLLIElement>(null);
  const [isSeen, setSeen] = useState(false);
  useEffect(() => {
    // maps of layers that nobody has scrolled to are not asked for
    const watch = new IntersectionObserver(
      (entries) => entries.some((e) => e.isIntersecting) && setSeen(true),
    );
    if (row.current) watch.observe(row.current);
    return () => watch.disconnect();
  }, []);
  const query = { layer: node.name, drawn: props.drawn };
  const ask = isSeen ? (signal: AbortSignal) => getMap(`/map/${props.id}`, query, signal) : null;
  const { value, refusal } = useAnswer(ask, [props.id, node.name, props.drawn, isSeen]);
  const layout = layoutOf(node.shape);
  const [low, high] = props.run.ranges[node.name] ?? [0, 1];
  const scale = scaleOf(low, high);
  const strongest = props.run.strongest[node.name] ?? [];
  const channels = strongest.length ? strongest : [0];
  const isChosen = node.name === props.layer;
  return (
    <li ref={row} class={isChosen ? "layer chosen" : "layer"}>
      <button
        type="button"
        class="name"
        aria-current={isChosen ? "true" : undefined}
        title={node.about}
        onClick={() => props.onChoose(node.name, channels[0])}
      >
        <b>{node.name}</b> <span class="soft">{node.kind}</span>
        <span class="soft shape">{node.shape.join(" × ")}</span>
      </button>
      <div class="thumbs">
        {value &&
          channels.map((channel) => (
            <button
              type="button"
              key={channel}
              tabIndex={-1}
              class={isChosen && channel === props.channel ? "thumb chosen" : "thumb"}
              aria-label={`${node.name}, channel ${channel}`}
              onClick={() => props.onChoose(node.name, channel)}
            >
              <Channel
                {...{ values: value, layout, channel, scale, colours: props.net.colours }}
                label={`map of channel ${channel}`}
              />
            </button>
          ))}
        {refusal && !isExported() && <p class="bad">{refusal}</p>}
      </div>
      <p class="range">
        {short(low, 3)} to {short(high, 3)}
      </p>
    </li>
  );
}
