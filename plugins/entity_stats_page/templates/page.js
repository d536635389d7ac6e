(() => {
    const main = document.querySelector("main");
    const api = "../api/v2/dags";
    const [backfill, cleanup, fold, recalculate, verify] = ["backfill", "daily_cleanup", "fold_pending", "recalculate", "verify"]
        .map((name) => `entity_stats_${name}`);

    const element = (tag, properties, ...children) => {
        const made = Object.assign(document.createElement(tag), properties);
        made.append(...children);
        return made;
    };
    // A link to one of Airflow's own pages.
    const airflow = (path, text) => {
        const link = element("a", { href: `../${path}`, target: "_top" }, text);
        link.dataset.airflow = "";
        return link;
    };
    const span = (seconds) => {
        const [unit, size] = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]].find(([, size]) => seconds >= size) ?? ["s", 1];
        return `${Math.floor(seconds / size)} ${unit}`;
    };
    const ask = async (path, options) => {
        const answer = await fetch(`${api}${path}`, { cache: "no-store", ...options });
        const said = await answer.json();
        if (!answer.ok) throw new Error(`Airflow refuses (${answer.status}): ${JSON.stringify(said.detail)}`);
        return said;
    };

    // The frame may not navigate the window around it, so links to Airflow's own pages are clicked out there.
    document.addEventListener("click", (event) => {
        const link = event.target.closest("a[data-airflow]");
        if (!link || window.parent === window || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        const outside = window.parent.document.createElement("a");
        outside.href = link.href;
        outside.click();
    });

    // What runs, when the next cleanup is due, which DAGs are paused: Airflow's own API says, to whom may see it.
    let scheduled = null;
    const showSchedule = () => {
        const place = document.getElementById("airflow");
        if (place && scheduled) {
            place.replaceChildren(...scheduled.lines.map((line) => line.cloneNode(true)));
            document.getElementById("schedule").classList.toggle("warn", scheduled.warn);
        }
    };
    const readSchedule = async () => {
        if (!document.getElementById("airflow")) return;
        try {
            const [{ dags }, ...runs] = await Promise.all([
                ask("?tags=entity_stats&limit=100"),
                ...["running", "queued"].map((state) => ask(`/~/dagRuns?dag_id_pattern=entity_stats_%25&state=${state}&limit=20`)),
            ]);
            const known = new Map(dags.map((dag) => [dag.dag_id, dag]));
            const paused = [backfill, cleanup, fold, recalculate, verify].filter((name) => known.get(name)?.is_paused);
            const lines = runs.flatMap((found) => found.dag_runs).filter((run) => known.has(run.dag_id)).map((run) => element(
                "p", {}, airflow(`dags/${run.dag_id}/runs/${encodeURIComponent(run.dag_run_id)}`, run.dag_id),
                ` ${run.state}, ${span((Date.now() - new Date(run.start_date ?? run.run_after)) / 1000)}`,
            ));
            if (!lines.length) lines.push(element("p", {}, "Nothing at the moment."));
            const due = known.get(cleanup)?.next_dagrun_run_after;
            lines.push(element("p", { id: "next-cleanup" }, ...(
                paused.includes(cleanup) ? ["No cleanup is due: ", airflow(`dags/${cleanup}`, cleanup), " is paused."]
                    : due ? [`Next cleanup ${new Date(due) > new Date() ? `in ${span((new Date(due) - Date.now()) / 1000)}` : "now"}, ${due.slice(0, 16).replace("T", " ")} UTC.`]
                        : ["Airflow has no date for the next cleanup."]
            )));
            if (paused.length) {
                const links = paused.flatMap((name) => [", ", airflow(`dags/${name}`, name)]).slice(1);
                lines.push(element("p", { id: "paused" }, element("span", { className: "badge warn" }, "paused"), " ", ...links));
            }
            scheduled = { lines, warn: paused.includes(cleanup) || paused.includes(fold) };
        } catch (error) {
            scheduled = { lines: [element("p", { className: "quiet" }, `Not known: ${error.message}`)], warn: true };
        }
        showSchedule();
    };

    // Airflow's own API decides who may trigger a DAG; the page itself only reads. What became of a run stays beside its button
    // while the figures are read again.
    const told = new Map();
    const showTold = () => main.querySelectorAll("form.recalculate").forEach((form) => {
        const said = told.get(form.dataset.conf);
        if (!said) return;
        form.querySelector("output").replaceChildren(...said.words.map((word) => (typeof word === "string" ? word : word.cloneNode(true))));
        form.querySelector("button").disabled = said.busy;
    });
    const tell = (conf, busy, ...words) => {
        told.set(conf, { busy, words });
        showTold();
    };
    document.addEventListener("submit", async (event) => {
        const form = event.target.closest("form.recalculate");
        if (!form) return;
        event.preventDefault();
        const conf = form.dataset.conf;
        tell(conf, true, "…");
        try {
            const { dag_run_id: run } = await ask(`/${recalculate}/dagRuns`, {
                method: "POST",
                headers: { "Content-Type": "application/json" },
                body: JSON.stringify({ logical_date: null, conf: JSON.parse(conf) }),
            });
            const path = `${recalculate}/runs/${encodeURIComponent(run)}`;
            for (;;) {
                const [{ state }, { is_paused: paused }] = await Promise.all([
                    ask(`/${recalculate}/dagRuns/${encodeURIComponent(run)}`), ask(`/${recalculate}`),
                ]);
                const ended = ["success", "failed"].includes(state);
                tell(conf, !ended, airflow(`dags/${path}/plugin/entity-stats-run`, run), ` ${state}`,
                    ...(paused && !ended ? [": it waits, because ", airflow(`dags/${recalculate}`, recalculate), " is paused"] : []));
                if (ended) break;
                await new Promise((resolve) => setTimeout(resolve, 2000));
            }
            await read();
        } catch (error) {
            tell(conf, false, error.message);
        }
    });

    const read = async () => {
        try {
            const answer = await fetch(window.location.href, { cache: "no-store" });
            if (answer.ok || answer.status === 422) {
                const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
                const swiped = main.querySelector(".swipe")?.scrollLeft;
                const open = new Map([...main.querySelectorAll("details")].map((details) => [details.id, details.open]));
                main.replaceChildren(...fresh.querySelector("main").childNodes);
                main.dataset.refresh = fresh.querySelector("main").dataset.refresh;
                main.querySelectorAll("details").forEach((details) => { details.open = open.get(details.id) ?? details.open; });
                if (swiped) main.querySelector(".swipe")?.scrollTo({ left: swiped, behavior: "instant" });
                document.querySelector("header").replaceWith(fresh.querySelector("header"));
                document.body.className = fresh.body.className;
                showSchedule();
                showTold();
            }
        } catch (error) {
            document.querySelector("header p").textContent = `not read again: ${error.message}`;
        }
        await readSchedule();
    };

    // A running backfill is worth a look every few seconds. Not while somebody types.
    const refresh = async () => {
        if (!document.hidden && !document.activeElement?.matches("input")) await read();
        setTimeout(refresh, 1000 * main.dataset.refresh);
    };
    readSchedule();
    setTimeout(refresh, 1000 * main.dataset.refresh);
})();
