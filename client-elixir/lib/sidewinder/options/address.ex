defmodule Sidewinder.Options.Address do
  @moduledoc """
  Where a daemon is, as people write it.

  Without an address it is what `SIDEWINDER_LISTEN_SOCKET` names, or the private socket of this user, by the daemon's own
  rule: `SIDEWINDER_RUNTIME_DIR`, then `XDG_RUNTIME_DIR`, then a place named after the user. Where there is none it is the
  socket of the system, if there is one.
  """

  # Where the unit for the whole system listens. Only root can put anything there.
  @system "/run/sidewinder/sidewinder.sock"

  @doc """
  The endpoints that an option names.

      iex> Sidewinder.Options.Address.all(["/run/a.sock", "127.0.0.1:7070", "dns:models.internal:7070"])
      {:ok, [{:unix, "/run/a.sock"}, {:tcp, "127.0.0.1", 7070}, {:dns, "models.internal", 7070}]}
      iex> Sidewinder.Options.Address.all("models:port")
      {:error, ~s("models:port": the port is a number from 1 to 65535)}
  """
  @spec all(nil | String.t() | [String.t()] | tuple) :: {:ok, [tuple]} | {:error, String.t()}
  def all(nil), do: {:ok, [{:unix, default_socket()}]}
  def all([]), do: {:error, "an empty list names no daemon"}

  def all(given) when is_list(given) do
    Enum.reduce_while(given, {:ok, []}, fn address, {:ok, found} ->
      case one(address) do
        {:ok, endpoint} -> {:cont, {:ok, found ++ [endpoint]}}
        {:error, what} -> {:halt, {:error, what}}
      end
    end)
  end

  def all(given), do: all([given])

  defp one(endpoint) when is_tuple(endpoint) and elem(endpoint, 0) in [:unix, :tcp, :tls, :dns, :srv],
    do: {:ok, endpoint}

  defp one("unix:" <> path) when path != "", do: {:ok, {:unix, Path.expand(path)}}
  defp one("/" <> _ = path), do: {:ok, {:unix, path}}
  defp one("./" <> _ = path), do: {:ok, {:unix, Path.expand(path)}}
  defp one("../" <> _ = path), do: {:ok, {:unix, Path.expand(path)}}
  defp one("srv:" <> name) when name != "", do: {:ok, {:srv, name}}
  defp one("dns:" <> rest = text), do: host_port(rest, text, fn host, port -> {:dns, host, port} end)
  defp one("tls:" <> rest = text), do: host_port(rest, text, fn host, port -> {:tls, host, port, []} end)
  defp one(text) when is_binary(text), do: host_port(text, text, fn host, port -> {:tcp, host, port} end)
  defp one(other), do: {:error, "#{inspect(other, limit: 3)} is no address: write \"/path\" or \"host:port\""}

  defp host_port(text, whole, fun) do
    with [_, host, port] <- Regex.run(~r/^\[?([^\[\]]+)\]?:([^:]*)$/, text),
         {number, ""} when number in 1..65_535 <- Integer.parse(port) do
      {:ok, fun.(host, number)}
    else
      nil -> {:error, "#{inspect(whole)} is no address: write \"/path\" or \"host:port\""}
      _ -> {:error, "#{inspect(whole)}: the port is a number from 1 to 65535"}
    end
  end

  @doc "Where the daemon of this user listens, when nobody says otherwise."
  @spec default_socket(String.t()) :: String.t()
  def default_socket(system \\ @system) do
    own = Path.join(Path.expand(runtime()), "sidewinder.sock")

    case System.get_env("SIDEWINDER_LISTEN_SOCKET", "") do
      "" -> if File.exists?(system) and not File.exists?(own), do: system, else: own
      named -> Path.expand(named)
    end
  end

  defp runtime do
    named = System.get_env("SIDEWINDER_RUNTIME_DIR", "")
    session = System.get_env("XDG_RUNTIME_DIR", "")

    cond do
      named != "" -> named
      session != "" -> Path.join(session, "sidewinder")
      user() == 0 -> "/run/sidewinder"
      true -> "/tmp/sidewinder-#{user()}"
    end
  end

  # The BEAM does not know its user; a file that it owns does.
  defp user do
    case File.stat("/proc/self") do
      {:ok, %{uid: uid}} -> uid
      {:error, _} -> 0
    end
  end

  @doc "Whether an endpoint is on this machine."
  @spec local?(tuple) :: boolean
  def local?({:unix, _path}), do: true

  def local?(endpoint) when elem(endpoint, 0) in [:tcp, :tls],
    do: elem(endpoint, 1) in ["localhost", "::1"] or String.starts_with?(elem(endpoint, 1), "127.")

  def local?(_endpoint), do: false

  @doc "An endpoint as text, for messages."
  @spec text(tuple) :: String.t()
  def text({:unix, path}), do: path
  def text({:srv, name}), do: "srv:#{name}"
  def text({:tcp, host, port}), do: "#{host}:#{port}"
  def text(endpoint), do: "#{elem(endpoint, 0)}:#{elem(endpoint, 1)}:#{elem(endpoint, 2)}"
end
