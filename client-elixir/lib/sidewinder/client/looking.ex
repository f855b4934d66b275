defmodule Sidewinder.Looking do
  @moduledoc """
  Questions to the daemon that change nothing: how it is, and what can be called. Answers are plain maps.
  """

  alias Sidewinder.{Client, Error, Lease, Proto}
  alias Sidewinder.Lease.Report

  @pools "/sidewinder.v1.Pools/"
  @timeout_ms 5_000
  @look_ms 20

  @doc "The daemon, its pools, and our lease."
  @spec status(Client.t(), pos_integer) :: {:ok, map} | {:error, Error.t()}
  def status(client, timeout \\ @timeout_ms) do
    with {:ok, daemon} <- ask(client, "Describe", %Proto.DescribeRequest{}, timeout),
         {:ok, pools} <- ask(client, "ListPools", %Proto.ListPoolsRequest{}, timeout) do
      shown = Map.take(daemon, [:version, :run, :pid, :tier, :mode, :mode_reason, :clients])
      lease = Map.put_new(Lease.info(client), :round_trip_us, noted(client, :round_trip_us))

      {:ok,
       Map.merge(shown, %{started: Report.moment(daemon.started), lease: lease, pools: Enum.map(pools.pools, &pool/1)})}
    end
  end

  @doc "What can be called."
  @spec tools(Client.t(), [String.t()], pos_integer) :: {:ok, [map]} | {:error, Error.t()}
  def tools(client, pools, timeout \\ @timeout_ms) do
    with {:ok, listed} <- ask(client, "ListTools", %Proto.ListToolsRequest{pools: pools}, timeout),
         do: {:ok, Enum.map(listed.tools, &tool/1)}
  end

  @doc "Waits until every pool has a worker that takes calls."
  @spec wait_ready(Client.t(), pos_integer) :: :ok | {:error, Error.t()}
  def wait_ready(client, timeout) do
    until = System.monotonic_time(:millisecond) + timeout
    look(client, until)
  end

  defp look(client, until) do
    left = until - System.monotonic_time(:millisecond)

    case ask(client, "ListPools", %Proto.ListPoolsRequest{}, max(left, 1)) do
      {:ok, %{pools: [_ | _] = pools}} ->
        unready = for %{ready: 0} = pool <- pools, do: pool
        if unready == [], do: :ok, else: again(client, until, left, late(unready))

      {:ok, %{pools: []}} ->
        again(client, until, left, late([]))

      {:error, %Error{code: :unavailable} = error} ->
        again(client, until, left, error)

      {:error, error} ->
        {:error, error}
    end
  end

  defp again(_client, _until, left, error) when left <= @look_ms, do: {:error, error}

  defp again(client, until, _left, _error) do
    Process.sleep(@look_ms)
    look(client, until)
  end

  defp late(pools) do
    what = Enum.map_join(pools, "; ", &"#{&1.name} has no worker yet#{if &1.trouble != "", do: ": " <> &1.trouble}")
    what = if what == "", do: "the daemon has no pool", else: what
    %Error{reason: :deadline_exceeded, code: :deadline_exceeded, ran: :no, message: what}
  end

  defp ask(client, method, request, timeout) do
    %module{} = request
    path = @pools <> method
    %{response: answer} = Map.fetch!(Proto.methods(), path)
    options = [deadline: System.monotonic_time(:millisecond) + timeout, wait: min(timeout, client.options.wait)]

    with {:ok, data, _trailers} <- client.transport.unary(client.channel, path, module.encode(request), options),
         {:ok, message} <- answer.decode(data) do
      {:ok, message}
    else
      {:error, what} when is_binary(what) -> {:error, %Error{reason: :undecodable, code: :data_loss, message: what}}
      {:error, status} -> {:error, Error.from_status(status)}
    end
  end

  defp noted(client, key) do
    case Client.lookup(client.name, key) do
      {:ok, value} -> value
      :error -> nil
    end
  end

  defp pool(pool) do
    pool
    |> Map.take([:name, :generation, :seats, :waiting, :running, :processes, :ready, :trouble])
    |> Map.merge(%{phase: Report.phase(pool.phase), size: pool.size && Map.take(pool.size, [:min, :max, :spare])})
  end

  defp tool(tool) do
    parameters = for parameter <- tool.parameters, do: Map.take(parameter, [:name, :type, :required, :default_json])

    tool
    |> Map.take([:pool, :name, :doc, :returns])
    |> Map.merge(%{stream?: tool.stream, parameters: parameters})
  end
end
