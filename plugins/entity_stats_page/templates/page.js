(() => {
    const main = document.querySelector("main");

    // The frame may not navigate the window around it, so links to Airflow's own pages are clicked out there.
    document.addEventListener("click", (event) => {
        const link = event.target.closest("a[data-airflow]");
        if (!link || window.parent === window || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        const outside = window.parent.document.createElement("a");
        outside.href = link.href;
        outside.click();
    });

    // Airflow's own API decides who may trigger a DAG; the page itself only reads.
    document.addEventListener("submit", async (event) => {
        const form = event.target.closest("form.recalculate");
        if (!form) return;
        event.preventDefault();
        const output = form.querySelector("output");
        const button = form.querySelector("button");
        button.disabled = true;
        output.textContent = "…";
        try {
            const answer = await fetch("../api/v2/dags/entity_stats_recalculate/dagRuns", {
                method: "POST",
                headers: { "Content-Type": "application/json" },
                body: JSON.stringify({ logical_date: null, conf: JSON.parse(form.dataset.conf) }),
            });
            const said = await answer.json();
            output.textContent = answer.ok
                ? `Triggered: ${said.dag_run_id}, ${said.state}. If the DAG is paused, unpause it.`
                : `Airflow refuses (${answer.status}): ${JSON.stringify(said.detail)}`;
        } catch (error) {
            output.textContent = `Airflow does not answer: ${error.message}`;
            button.disabled = false;
        }
    });

    // A running backfill is worth a look every few seconds. Not while somebody types or reads what a button has answered.
    const refresh = async () => {
        const busy = document.hidden || document.activeElement?.matches("input") || document.querySelector("output:not(:empty)");
        if (!busy) {
            try {
                const answer = await fetch(window.location.href, { cache: "no-store" });
                if (answer.ok || answer.status === 422) {
                    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
                    const open = new Map([...main.querySelectorAll("details")].map((details) => [details.id, details.open]));
                    main.replaceChildren(...fresh.querySelector("main").childNodes);
                    main.dataset.refresh = fresh.querySelector("main").dataset.refresh;
                    main.querySelectorAll("details").forEach((details) => { details.open = open.get(details.id) ?? details.open; });
                    document.querySelector("header").replaceWith(fresh.querySelector("header"));
                }
            } catch (error) {
                document.querySelector("header p").textContent = `not read again: ${error.message}`;
            }
        }
        setTimeout(refresh, 1000 * main.dataset.refresh);
    };
    setTimeout(refresh, 1000 * main.dataset.refresh);
})();
